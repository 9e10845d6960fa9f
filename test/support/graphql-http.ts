import type { House } from './house.ts';

/** A GraphQL answer as it came over HTTP. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: GraphqlBody;
}

/** The members of a GraphQL answer, read without belief in more than their names. */
export interface GraphqlBody {
  readonly data?: unknown;
  readonly errors?: readonly GraphqlFault[];
  readonly extensions?: { readonly cost: AnsweredCost };
}

/** One error of an answer. */
export interface GraphqlFault {
  readonly message: string;
  readonly path?: readonly (string | number)[];
  readonly extensions: { readonly code: string; readonly requestId: string };
}

/** `extensions.cost` of an answer. */
export interface AnsweredCost {
  readonly requestedQueryCost: number | null;
  readonly actualQueryCost: number | null;
  readonly throttleStatus: { readonly maximumAvailable: number; readonly currentlyAvailable: number };
  readonly fields?: readonly { readonly path: string; readonly cost: number }[];
}

type Sender = Pick<House, 'fetch'>;

/** Posts a JSON body to `/graphql`. */
export async function post(
  { fetch }: Sender,
  token: string,
  sent: { readonly body: unknown; readonly headers?: Readonly<Record<string, string>> },
): Promise<HttpAnswer> {
  const headers = { 'content-type': 'application/json', ...sent.headers };
  return read(await fetch(token, '/graphql', { method: 'POST', headers, body: JSON.stringify(sent.body) }));
}

/** Gets an address below `/graphql`, as a client that a browser could not imitate. */
export async function get(
  { fetch }: Sender,
  token: string,
  sent: { readonly path: string; readonly headers?: Readonly<Record<string, string>> },
): Promise<HttpAnswer> {
  return read(await fetch(token, sent.path, { headers: { 'apollo-require-preflight': '1', ...sent.headers } }));
}

/** Returns the codes of the errors of an answer, in their order. */
export function codesOf({ errors = [] }: GraphqlBody): string[] {
  return errors.map(({ extensions }) => extensions.code);
}

/** Returns the value of a series of `/metrics`, 0 where there is none. */
export async function metricOf({ fetch }: Sender, series: string): Promise<number> {
  const text = await (await fetch(null, '/metrics')).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

/** Does something twice: an operation that is new the first time is known the second. */
export async function twice(work: () => Promise<void>): Promise<void> {
  await work();
  await work();
}

async function read(response: Response): Promise<HttpAnswer> {
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) as GraphqlBody };
}
