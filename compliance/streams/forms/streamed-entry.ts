import type { AuditEntry } from '#schema/audit-event.ts';
import type { JsonValue } from '#schema/canonical-json.ts';

/** An entry of a log on its way to a receiver. */
export interface StreamedEntry {
  /** Names the log: `<deployment>/audit/<tenant id>/<epoch>`. */
  readonly origin: string;
  readonly epoch: number;
  /** The hashed bytes themselves (RFC 8785). */
  readonly text: string;
  /** The same, parsed and checked. */
  readonly entry: AuditEntry;
  /** SHA-256 of 0x00 and the bytes, in hex. */
  readonly leaf: string;
  /** That it is in the log that a checkpoint was signed for; null where it is sent before its seal. */
  readonly proof: EntryProof | null;
  /** It is in no log, and is sent to see whether the receiver takes it. */
  readonly isTest: boolean;
}

/** A proof as it travels (docs/formats.md, exports). */
export interface EntryProof {
  /** The audit path (RFC 6962 section 2.1.1) in hex, nearest sibling first. */
  readonly hashes: readonly string[];
  /** The signed note, verbatim. */
  readonly checkpoint: string;
  /** Entries that the checkpoint covers. */
  readonly treeSize: number;
}

/** Returns an entry as one JSON text without line breaks. */
export type StreamFormatter = (streamed: StreamedEntry) => string;

/** An object of JSON under construction; what is undefined is left out. */
export type JsonFields = Readonly<Record<string, JsonValue | undefined>>;

/** Returns the object without what is undefined. */
export function given(fields: JsonFields): { readonly [key: string]: JsonValue } {
  const known = Object.entries(fields).filter((pair): pair is [string, JsonValue] => pair[1] !== undefined);
  return Object.fromEntries(known);
}
