import type { IncomingMessage, ServerResponse } from 'node:http';
import { TenonError } from '#schema/errors.ts';

/** One answer, ready to be written. */
export interface HttpAnswer {
  readonly status: number;
  readonly mediaType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** Reads a request's body as text; one of more than `maxBytes` is PAYLOAD_TOO_LARGE, one that breaks off BAD_REQUEST. */
export function readBody(req: IncomingMessage, maxBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    req.on('data', (chunk: Buffer) => {
      length += chunk.length;
      // What comes after is not kept; the connection is closed with the answer.
      if (length > maxBytes) return reject(new TenonError('PAYLOAD_TOO_LARGE', `more than ${maxBytes} bytes`));
      chunks.push(chunk);
    });
    req.once('end', () => resolve(textOf(chunks)));
    req.once('error', (error) => reject(new TenonError('BAD_REQUEST', error.message)));
  });
}

/** Writes an answer in one piece; `lines` are further headers, names and values in turn. */
export function writeAnswer(
  res: ServerResponse,
  { status, mediaType, headers, text }: HttpAnswer,
  lines: readonly string[],
): void {
  const head = [
    'content-type',
    `${mediaType}; charset=utf-8`,
    'content-length',
    String(Buffer.byteLength(text)),
    ...lines,
  ];
  for (const name in headers) head.push(name, headers[name] ?? '');
  res.writeHead(status, head);
  res.end(text);
}

function textOf(chunks: readonly Buffer[]): string {
  const [first] = chunks;
  if (first === undefined) return '';
  return chunks.length === 1 ? first.toString('utf8') : Buffer.concat(chunks).toString('utf8');
}
