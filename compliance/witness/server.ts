import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { asTenonError } from '#schema/errors.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import { MAX_REQUEST_BYTES, parseAddCheckpoint, type AddCheckpoint } from './add-checkpoint.ts';
import type { Witness, WitnessAnswer } from './witness.ts';

/** What a witness is served with. */
export interface WitnessServerOptions {
  readonly witness: Witness;
  /** Asked for with every request, since keys of logs rotate. */
  readonly keys: () => Promise<readonly NoteVerifier[]>;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Told of what an operator must know: a fork, or a fault of the witness itself. */
  readonly onTrouble: (sentence: string) => void;
}

/** A witness that listens. */
export interface WitnessServer {
  readonly url: string;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly body?: string;
  readonly type?: string;
}

const REQUEST_TIMEOUT_MS = 10_000;

/** Serves `POST /add-checkpoint` (C2SP tlog-witness); everything else is 404 or 405. */
export async function serveWitness(options: WitnessServerOptions): Promise<WitnessServer> {
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (req, res) => {
      void answerTo(options, req).then((answer) => send(res, answer));
    },
  );
  server.maxConnections = 256;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const { address, family, port } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

async function answerTo(options: WitnessServerOptions, req: IncomingMessage): Promise<Answer> {
  if (req.url !== '/add-checkpoint') return { status: 404 };
  if (req.method !== 'POST') return { status: 405 };
  const body = await bodyOf(req);
  if (body === null) return { status: 413 };
  const request = parsed(body);
  if (typeof request === 'string') return { status: 400, body: request };
  try {
    return httpAnswer(await options.witness.add(request, await options.keys()), options.onTrouble);
  } catch (thrown) {
    options.onTrouble(asTenonError(thrown).message);
    return { status: 500 };
  }
}

function httpAnswer(answer: WitnessAnswer, onTrouble: (sentence: string) => void): Answer {
  if (answer.status === 'forked')
    onTrouble(`two checkpoints of ${answer.size} entries were signed; both are in ${answer.evidence}`);
  if (answer.status === 'cosigned') return { status: 200, body: answer.cosignature };
  if ('size' in answer) return { status: 409, body: `${answer.size}\n`, type: 'text/x.tlog.size' };
  if ('reason' in answer) return { status: 400, body: `${answer.reason}\n` };
  return { status: PLAIN[answer.status] };
}

const PLAIN = { unproven: 422, 'unknown log': 404, 'unknown key': 403 } as const;

function parsed(body: Buffer): AddCheckpoint | string {
  try {
    return parseAddCheckpoint(body);
  } catch (thrown) {
    return `${asTenonError(thrown).hint ?? 'The request cannot be read.'}\n`;
  }
}

/** The body, or null where it is too long or broken off. */
async function bodyOf(req: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of req as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_REQUEST_BYTES) return null;
      chunks.push(chunk);
    }
  } catch {
    return null;
  }
  return Buffer.concat(chunks);
}

function send(res: ServerResponse, { status, body = '', type = 'text/plain; charset=utf-8' }: Answer): void {
  res.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
}
