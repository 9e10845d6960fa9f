import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { UsageError, type CommandArguments } from '#kit/command.ts';
import { readManifestFolder } from '#kit/manifest-folder.ts';
import { errnoOf } from '#kit/postgres-binaries.ts';
import { ERRORS, fail, type ErrorCode } from '#schema/errors.ts';
import { isObject } from '#schema/json-object.ts';
import { MANIFEST_MAX_BYTES } from '#schema/operation-manifest.ts';

/** Options of every command that asks a platform over its API. */
export const DOOR_OPTIONS = {
  url: { about: 'Address of the platform, such as https://api.example.com', required: true },
  key: { about: 'API key of the client tenon-cli or session token, or @FILE that holds it', required: true },
} as const;

/** The folder of the platform's own manifests. */
export const MANIFEST_FOLDER = fileURLToPath(new URL('../schema/operations', import.meta.url));

/** The client whose manifest holds what these commands send: an API key runs registered operations and nothing else. */
const CLIENT = 'tenon-cli';
const TIMEOUT_MS = 60_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** Sends one of the operations of the manifest tenon-cli.json and returns its data; what is refused throws its code. */
export type Ask = (
  name: string,
  variables: Readonly<Record<string, unknown>>,
) => Promise<Readonly<Record<string, unknown>>>;

/** Returns how a command asks the platform that its options name. */
export async function openDoor({ options }: Pick<CommandArguments, 'options'>): Promise<Ask> {
  const address = addressOf(options['url'] ?? '');
  const token = await tokenOf(options['key'] ?? '');
  const files = await readManifestFolder(MANIFEST_FOLDER);
  const operations = files.find(({ client }) => client === CLIENT)?.operations ?? [];
  return async (name, variables) => {
    const operation = operations.find((one) => one.name === name);
    if (operation === undefined) throw new Error(`the manifest of ${CLIENT} has no ${name}`);
    const named = token.startsWith('tnk_') ? { documentId: operation.id } : { query: operation.body };
    return dataOf(await post(address, token, { ...named, variables }));
  };
}

/** Returns the text of a file of at most `maxBytes`; one that cannot be read is wrong use. */
export async function readText(path: string, maxBytes: number = MANIFEST_MAX_BYTES): Promise<string> {
  const file = await open(path).catch((error: unknown) => {
    throw new UsageError(`${path} cannot be read (${errnoOf(error)})`);
  });
  try {
    const { size } = await file.stat();
    if (size > maxBytes) throw new UsageError(`${path} is longer than ${maxBytes} bytes`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function addressOf(text: string): URL {
  if (!/^https?:/.test(text) || !URL.canParse(text)) throw new UsageError('--url takes an http or https address');
  return new URL('graphql', text.endsWith('/') ? text : `${text}/`);
}

async function tokenOf(text: string): Promise<string> {
  const token = (text.startsWith('@') ? await readText(text.slice(1), 4096) : text).trim();
  return /^[\x21-\x7e]+$/.test(token) ? token : refuseToken();
}

function refuseToken(): never {
  throw new UsageError('--key takes an API key or a session token, or @FILE that holds it');
}

async function post(address: URL, token: string, body: object): Promise<unknown> {
  try {
    const response = await fetch(address, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      // A redirect would take the token elsewhere.
      redirect: 'error',
    });
    if (Number(response.headers.get('content-length') ?? 0) > MAX_ANSWER_BYTES)
      throw new Error('the answer is too long');
    return await response.json();
  } catch (cause) {
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
    return fail('SERVICE_UNAVAILABLE', `${address.origin} gives no answer: ${reason}`, { cause });
  }
}

function dataOf(answer: unknown): Readonly<Record<string, unknown>> {
  const body = isObject(answer) ? answer : {};
  const [error]: unknown[] = Array.isArray(body['errors']) ? body['errors'] : [];
  if (isObject(error)) fail(codeOf(error), String(error['message']));
  return isObject(body['data']) ? body['data'] : fail('SERVICE_UNAVAILABLE', 'the answer is none of GraphQL');
}

/** A code of a newer platform is none that this program can speak of. */
function codeOf({ extensions }: Readonly<Record<string, unknown>>): ErrorCode {
  const code = isObject(extensions) ? extensions['code'] : null;
  return Object.keys(ERRORS).find((known): known is ErrorCode => known === code) ?? 'INTERNAL_SERVER_ERROR';
}
