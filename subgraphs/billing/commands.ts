import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Command, CommandSurroundings } from '#kit/command.ts';
import { requireDoor } from '#kit/authorize.ts';
import { systemContext } from '#kit/credential.ts';
import { findTenantBySlug } from '#kit/directory.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { TenonError } from '#schema/errors.ts';
import { mintId } from '#schema/ids.ts';
import { parseExactJson } from './exact-json.ts';
import { MAX_EVENTS } from './usage-event.ts';
import { recordUsage } from './usage.ts';

/** `usage import`: stores the usage events of an NDJSON file; running it again counts nothing twice. */
export const usageImport: Command = {
  name: 'usage import',
  about:
    'Stores the usage events of a file, one JSON object a line. Run again, it goes on where it stopped: what is stored counts once.',
  positionals: ['<file>'],
  options: { tenant: { about: 'slug of the tenant', required: true } },
  run: async (surroundings, { positionals, options }) => {
    const [file = ''] = positionals;
    const bytes = await sizeOf(file);
    if (bytes === null) return refuse(surroundings, `cannot read ${file}`);
    const ctx = await contextOf(surroundings, options['tenant'] ?? '');
    if (ctx === null) return refuse(surroundings, `there is no tenant ${options['tenant'] ?? ''}`);
    return importFile(surroundings, ctx, { file, bytes });
  },
};

interface Source {
  readonly file: string;
  readonly bytes: number;
}

interface Line {
  readonly number: number;
  readonly text: string;
}

async function importFile(surroundings: CommandSurroundings, ctx: RequestContext, source: Source): Promise<0 | 1> {
  const total = { accepted: 0, duplicates: 0 };
  const progress = progressOf(surroundings, source.bytes);
  try {
    requireDoor(ctx.tenant.state, 'work');
    for await (const { lines, bytesRead } of batchesOf(source.file)) {
      const receipt = await recordUsage(ctx, {
        items: lines.map(({ text, number }) => parseExactJson(text, `Line ${number}`)),
        nameOf: (index, field) => `line ${lines[index]?.number ?? 0}${field === undefined ? '' : `: ${field}`}`,
      });
      total.accepted += receipt.accepted;
      total.duplicates += receipt.duplicates;
      progress(bytesRead, total.accepted + total.duplicates);
    }
  } catch (error) {
    if (!(error instanceof TenonError)) throw error;
    report(surroundings, { ...total, error: { code: error.code, message: error.publicMessage } });
    return 1;
  }
  report(surroundings, total);
  return 0;
}

/** Yields the filled lines of a file in batches that the service takes, and how many bytes were read up to their end. */
async function* batchesOf(file: string): AsyncGenerator<{ lines: Line[]; bytesRead: number }> {
  let lines: Line[] = [];
  let number = 0;
  let bytesRead = 0;
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    number += 1;
    bytesRead += Buffer.byteLength(text) + 1;
    if (text.trim() !== '') lines.push({ number, text });
    if (lines.length < MAX_EVENTS) continue;
    yield { lines, bytesRead };
    lines = [];
  }
  if (lines.length > 0) yield { lines, bytesRead };
}

async function contextOf(surroundings: CommandSurroundings, slug: string): Promise<RequestContext | null> {
  const platform = await surroundings.platform();
  const place = await findTenantBySlug(platform.databases, slug);
  if (place === null) return null;
  const requestId = mintId('req');
  return requestContext(
    platform,
    await systemContext(platform.databases, place.id, { name: 'usage-import', requestId }),
  );
}

/** Says at every tenth of the file how far it is. */
function progressOf({ write, json }: CommandSurroundings, bytes: number): (bytesRead: number, events: number) => void {
  let tenths = 0;
  return (bytesRead, events) => {
    // A last line without its end counts a byte too many.
    const now = Math.min(10, Math.floor((bytesRead / bytes) * 10));
    if (json || now <= tenths) return;
    tenths = now;
    write(`[${'#'.repeat(now).padEnd(10, '.')}] ${events} events`);
  };
}

interface Outcome {
  readonly accepted: number;
  readonly duplicates: number;
  readonly error?: { readonly code: string; readonly message: string };
}

function report({ write, json }: CommandSurroundings, outcome: Outcome): void {
  if (json) return write(JSON.stringify(outcome));
  write(`${outcome.accepted} events stored, ${outcome.duplicates} were stored before.`);
  if (outcome.error !== undefined) write(`Stopped: ${outcome.error.message} Nothing of that batch was stored.`);
}

function refuse({ write, json }: CommandSurroundings, message: string): 2 {
  write(json ? JSON.stringify({ error: { message } }) : message);
  return 2;
}

async function sizeOf(file: string): Promise<number | null> {
  const found = await stat(file).catch(() => null);
  return found?.isFile() === true ? found.size : null;
}
