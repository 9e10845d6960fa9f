import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { sendMail } from '#kit/mail.ts';

const MAIL = {
  to: 'grace@acme.example',
  subject: 'Grüße',
  text: 'First line\n.dot\nhttp://tenon.test/sso/link?token=abc',
};

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function home(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tenon-mail-'));
  ends.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe('without a mail server', () => {
  it('each message is a whole file of its own', async () => {
    const settings = { mailUrl: null, home: await home(), deployment: 'tenon.test' };
    await Promise.all([1, 2, 3].map(() => sendMail(settings, MAIL)));
    const names = await readdir(join(settings.home, 'mail'));
    expect(names).toHaveLength(3);
    for (const name of names) {
      expect(name).toMatch(/^[\w-]{36}\.eml$/);
      const text = await readFile(join(settings.home, 'mail', name), 'utf8');
      expect(text).toMatch(/^From: Tenon <no-reply@tenon\.test>\nTo: grace@acme\.example\nSubject: =\?UTF-8\?/);
      expect(text).toContain('\n.dot\n');
    }
  });

  it('a recipient is one address, whatever is in it', async () => {
    const settings = { mailUrl: null, home: await home(), deployment: 'tenon.test' };
    await sendMail(settings, { ...MAIL, to: 'a@acme.example\r\nBcc: eve@evil.example' });
    const [name] = await readdir(join(settings.home, 'mail'));
    const [head] = (await readFile(join(settings.home, 'mail', name ?? ''), 'utf8')).split('\n\n');
    expect(head).not.toMatch(/^Bcc:/im);
  });
});

describe('with a mail server', () => {
  it('a message is handed over to it', async () => {
    const server = await startServer(() => '250 ok');
    await sendMail({ mailUrl: server.url, home: '/nowhere', deployment: 'tenon.test' }, MAIL);
    expect(server.received()).toContain('RCPT TO:<grace@acme.example>');
    expect(server.received()).toContain('\r\n..dot\r\nhttp://tenon.test/sso/link?token=abc\r\n');
  });

  it('that does not take it, the caller is told so', async () => {
    const server = await startServer((line) => (line.startsWith('RCPT') ? '550 no such user' : '250 ok'));
    const sending = sendMail({ mailUrl: server.url, home: '/nowhere', deployment: 'tenon.test' }, MAIL);
    await expect(sending).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  });

  it('that is not there, the caller is told so', async () => {
    const server = await startServer(() => '250 ok');
    for (const end of ends.splice(0)) await end();
    await expect(
      sendMail({ mailUrl: server.url, home: '/nowhere', deployment: 'tenon.test' }, MAIL),
    ).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  });
});

/** As much of SMTP (RFC 5321) as one message needs. */
async function startServer(answer: (line: string) => string): Promise<{ url: string; received: () => string }> {
  let received = '';
  const server: Server = createServer((socket) => converse(socket, answer, (text) => (received += text)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => new Promise((resolve) => server.close(resolve)));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a listening server has an address');
  return { url: `smtp://127.0.0.1:${address.port}`, received: () => received };
}

function converse(socket: Socket, answer: (line: string) => string, record: (text: string) => void): void {
  let inData = false;
  let waiting = '';
  socket.write('220 mail.test\r\n');
  socket.on('data', (bytes) => {
    record(bytes.toString('utf8'));
    waiting += bytes.toString('utf8');
    for (let end = waiting.indexOf('\r\n'); end >= 0; end = waiting.indexOf('\r\n')) {
      const line = waiting.slice(0, end);
      waiting = waiting.slice(end + 2);
      if (inData && line !== '.') continue;
      const begins = !inData && line === 'DATA';
      socket.write(begins ? '354 go ahead\r\n' : `${answer(line)}\r\n`);
      inData = begins;
    }
  });
  socket.on('error', () => undefined);
}
