import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { asTenonError } from '#schema/errors.ts';
import { uuidv7, uuidOrNull } from '#schema/ids.ts';
import { log } from '#kit/log.ts';
import type { MutationNote } from './mutation-count.ts';

/** A note with the tenant that it is of. */
export interface OwnedNote extends MutationNote {
  /** `tnt_` id. */
  readonly tenant: string;
  readonly cell: string;
}

/**
 * What a gateway writes beside the road of a request, so that its sudden end loses no note: mutations before they are
 * sent, and what was answered. Each call is one write to the system, which keeps it when the process is killed; the
 * machine's own end may take the last seconds along.
 */
export interface MutationJournal {
  /** These mutations are about to be sent. */
  begin(notes: readonly OwnedNote[]): void;
  /** Of what was begun, these have answered with their payload; the others with an error. */
  end(begun: readonly OwnedNote[], answered: readonly OwnedNote[]): void;
  /** Begins anew with what is still under way or waits to be stored. */
  restart(underWay: readonly OwnedNote[], waiting: readonly OwnedNote[]): void;
  /** Returns what gateways have left that are no more; once it stands elsewhere, `forget` removes it here. */
  adopt(nowMs: number): { readonly notes: readonly OwnedNote[]; forget(): void };
  close(): void;
}

/** A gateway that lives says so every ten seconds; this long after its last word it is taken for dead. */
const DEAD_AFTER_MS = 60_000;
const SUFFIX = '.ndjson';
/** Hostile or broken files are not read: at most 50,000 notes wait, and as many requests never are under way. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Opens the journal of this process in a folder that gateways may share. A folder that cannot be written is told once, and nothing is kept. */
export function openMutationJournal(folder: string): MutationJournal {
  const own = join(folder, `${uuidv7()}${SUFFIX}`);
  let file: number | null = null;
  const write = (lines: readonly (readonly unknown[])[]): void => {
    if (file === null || lines.length === 0) return;
    const open = file;
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    // One that fails fails at each request: one line about it is enough.
    file = attempt(() => {
      writeSync(open, text);
      return open;
    }, null);
  };
  file = attempt(() => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return openSync(own, 'a', 0o600);
  }, null);
  return {
    begin: (notes) => write(notes.map((note) => ['begun', ...fieldsOf(note)])),
    end: (begun, answered) => {
      const ids = new Set(answered.map(({ id }) => id));
      write(begun.map(({ id }) => [ids.has(id) ? 'answered' : 'failed', id]));
    },
    restart: (underWay, waiting) => {
      if (file === null) return;
      file = attempt(() => {
        const next = openSync(`${own}.new`, 'w', 0o600);
        const lines = [
          ...underWay.map((note) => ['begun', ...fieldsOf(note)]),
          ...waiting.flatMap((note) => [
            ['begun', ...fieldsOf(note)],
            ['answered', note.id],
          ]),
        ];
        writeSync(next, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
        renameSync(`${own}.new`, own);
        if (file !== null) closeSync(file);
        return next;
      }, null);
    },
    adopt: (nowMs) => (file === null ? NOTHING : attempt(() => adoptAll({ folder, own, nowMs }), NOTHING)),
    close: () => {
      if (file === null) return;
      const open = file;
      file = null;
      attempt(() => {
        closeSync(open);
        if (statSync(own).size === 0) rmSync(own);
      }, undefined);
    },
  };
}

/** One that fails is told, and what was kept before it stays. */
function attempt<T>(work: () => T, otherwise: T): T {
  try {
    return work();
  } catch (error) {
    log('error', `the journal of mutations cannot be kept: ${asTenonError(error).message}`);
    return otherwise;
  }
}

interface Adoption {
  readonly folder: string;
  readonly own: string;
  readonly nowMs: number;
}

const NOTHING = { notes: [], forget: () => undefined };

/** Whoever renames a file first has it; where she too ends before it is forgotten, it is a journal as any other. */
function adoptAll({ folder, own, nowMs }: Adoption): ReturnType<MutationJournal['adopt']> {
  const now = new Date(nowMs);
  utimesSync(own, now, now);
  const taken: string[] = [];
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (!name.endsWith(SUFFIX) || path === own) continue;
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined || nowMs - stat.mtimeMs < DEAD_AFTER_MS) continue;
    const mine = join(folder, `${uuidv7()}${SUFFIX}`);
    try {
      renameSync(path, mine);
      utimesSync(mine, now, now);
    } catch {
      continue;
    }
    if (stat.size <= MAX_BYTES) taken.push(mine);
    else log('error', 'the journal of a gateway is too long to be read', { sizeBytes: stat.size });
  }
  return {
    notes: taken.flatMap((path) => notesOf(readFileSync(path, 'utf8'))),
    forget: () => {
      for (const path of taken) rmSync(path, { force: true });
    },
  };
}

function fieldsOf({ id, tenant, cell, requestId, action, at }: OwnedNote): unknown[] {
  return [id, tenant, cell, requestId, action, at.getTime()];
}

/** A last line that was cut off, or one of another shape, is passed over. */
function notesOf(text: string): OwnedNote[] {
  const notes = new Map<string, OwnedNote>();
  for (const line of text.split('\n')) {
    const [word, id, ...fields] = parse(line);
    if (typeof id !== 'string') continue;
    const known = notes.get(id);
    if (word === 'begun') {
      const note = noteOf(id, fields);
      if (note !== null) notes.set(id, note);
    } else if (word === 'answered' && known !== undefined) notes.set(id, { ...known, isAnswered: true });
    else if (word === 'failed') notes.delete(id);
  }
  return [...notes.values()];
}

function noteOf(id: string, fields: readonly unknown[]): OwnedNote | null {
  const [tenant, cell, requestId, action, atMs] = fields;
  if (uuidOrNull('tnt', String(tenant)) === null || typeof cell !== 'string') return null;
  if (typeof requestId !== 'string' || typeof action !== 'string' || typeof atMs !== 'number') return null;
  return { id, tenant: String(tenant), cell, requestId, action, at: new Date(atMs), isAnswered: false };
}

function parse(line: string): unknown[] {
  try {
    const value: unknown = JSON.parse(line);
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
