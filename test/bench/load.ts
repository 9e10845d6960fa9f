import { Pool } from 'undici';

/** One request as it is sent again and again. */
export interface LoadRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An answer as it came. */
export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Sends requests to one server over connections that are kept open. */
export interface Load {
  /** Sends so many requests, each connection one after the other, and returns the latency of each in ms. */
  readonly run: (requests: readonly LoadRequest[], count: number) => Promise<number[]>;
  readonly send: (request: LoadRequest) => Promise<Answer>;
  readonly close: () => Promise<void>;
}

/** Opens so many connections to `/graphql` of a server. */
export function openLoad(url: string, connections: number): Load {
  const pool = new Pool(url, { connections, pipelining: 1 });
  const send = async ({ headers, body }: LoadRequest): Promise<Answer> => {
    const response = await pool.request({
      path: '/graphql',
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
    });
    return { status: response.statusCode, text: await response.body.text() };
  };
  const run: Load['run'] = async (requests, count) => {
    const latenciesMs: number[] = [];
    let next = 0;
    const sender = async () => {
      for (let index = next++; index < count; index = next++) {
        const request = requests[index % requests.length];
        if (request === undefined) throw new Error('there is nothing to send');
        const started = performance.now();
        requireGood(await send(request));
        latenciesMs.push(performance.now() - started);
      }
    };
    await Promise.all(Array.from({ length: connections }, sender));
    return latenciesMs;
  };
  return { run, send, close: () => pool.close() };
}

/** A refusal is much cheaper than an answer: one among the measured requests would spoil the figure unseen. */
function requireGood({ status, text }: Answer): void {
  if (status !== 200 || text.includes('"errors":'))
    throw new Error(`a measured request failed (${status}): ${text.slice(0, 900)}`);
}
