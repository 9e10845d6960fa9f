import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WebSocket } from 'undici';

/** A page in a real browser, over the Chrome DevTools Protocol. */
export interface BrowserPage {
  /** Sends a command of the protocol to the page. */
  send(method: string, params?: object): Promise<Record<string, unknown>>;
  /** Runs an expression in the page and returns its value as JSON; what it throws is an error with its text. */
  evaluate(expression: string): Promise<unknown>;
}

/** A browser without a window. */
export interface Browser {
  open(url: string): Promise<BrowserPage>;
  close(): Promise<void>;
}

interface Answer {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
  readonly method?: string;
}

/** Starts Chromium with a profile of its own, which goes when it is closed. */
export async function openBrowser(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'tenon-browser-'));
  const child = spawn(
    'chromium',
    [
      '--headless=new',
      // As root it does not start with a sandbox; the pages are the test's own.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--no-first-run',
      '--remote-debugging-port=0',
      `--user-data-dir=${profile}`,
      'about:blank',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const socket = new WebSocket(await addressIn(child.stderr));
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true });
    socket.addEventListener('error', reject, { once: true });
  });
  const send = commandsOver(socket);
  return {
    open: async (url) => {
      const { targetId } = await send({ method: 'Target.createTarget', params: { url: 'about:blank' } });
      const { sessionId } = await send({ method: 'Target.attachToTarget', params: { targetId, flatten: true } });
      const page = pageOf(send, String(sessionId));
      await page.send('Page.enable');
      await page.evaluate(`new Promise((done) => { location.href = ${JSON.stringify(url)}; done(null); })`);
      await untilAt(page, url);
      return page;
    },
    close: async () => {
      socket.close();
      child.kill('SIGKILL');
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Serves an empty page on a port of `localhost`, which browsers take for a safe place. */
export async function serveEmptyPage(port: number): Promise<() => Promise<void>> {
  const server = createServer((_req, res) => {
    res.setHeader('content-type', 'text/html');
    res.end('<!doctype html><title>test</title>');
  });
  await new Promise<void>((resolve) => server.listen(port, resolve));
  return async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
}

type Send = (command: { method: string; params?: object; sessionId?: string }) => Promise<Record<string, unknown>>;

async function addressIn(stderr: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stderr })) {
    const [, address] = /^DevTools listening on (ws:\S+)/.exec(line) ?? [];
    if (address !== undefined) return address;
  }
  throw new Error('chromium ended before it listened');
}

function commandsOver(socket: WebSocket): Send {
  let last = 0;
  const waiting = new Map<number, (answer: Answer) => void>();
  socket.addEventListener('message', ({ data }) => {
    const answer = JSON.parse(String(data)) as Answer;
    if (answer.id === undefined) return;
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  return async (command) => {
    const id = ++last;
    const answered = new Promise<Answer>((resolve) => waiting.set(id, resolve));
    socket.send(JSON.stringify({ id, ...command }));
    const { result, error } = await answered;
    if (error !== undefined) throw new Error(`${command.method}: ${error.message}`);
    return result ?? {};
  };
}

function pageOf(send: Send, sessionId: string): BrowserPage {
  const sendToPage: BrowserPage['send'] = (method, params = {}) => send({ method, params, sessionId });
  return {
    send: sendToPage,
    evaluate: async (expression) => {
      const { result, exceptionDetails } = (await sendToPage('Runtime.evaluate', {
        expression,
        awaitPromise: true,
        returnByValue: true,
        userGesture: true,
      })) as { result: { value?: unknown }; exceptionDetails?: { exception?: { description?: string } } };
      if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? 'it threw');
      return result.value;
    },
  };
}

/** A navigation replaces the page under our hands; what is asked meanwhile of the old one fails. */
async function untilAt(page: BrowserPage, url: string): Promise<void> {
  for (;;) {
    const at = await page.evaluate(`document.readyState === 'complete' ? location.href : ''`).catch(() => '');
    if (String(at).startsWith(url)) return;
  }
}
