import type pg from 'pg';
import type { NoteSigner, NoteVerifier } from '#schema/signed-note.ts';
import type { log } from '#kit/log.ts';
import type { Archive } from '../archive/archive.ts';
import type { LogName } from '../manifest.ts';
import { logOf } from '../manifest.ts';

/** What sealing the logs of one cell, and bringing them back, needs. */
export interface SealingOptions {
  /** Pool of `tenon_worker` over the audit database. */
  readonly audit: pg.Pool;
  readonly archive: Archive;
  readonly region: string;
  /** Signs every checkpoint; its name is the deployment's. */
  readonly signer: NoteSigner;
  /** Keys that signed before this one: what they signed is continued. */
  readonly olderKeys?: readonly NoteVerifier[];
  readonly clock: () => Date;
  /** How long a segment and its manifest are kept at least. */
  readonly retentionMs: number;
  readonly log?: typeof log;
}

/** Returns the name of a tenant's log in these options' archive. */
export function nameOf({ signer, region }: SealingOptions, log: { tenantId: string; epoch: number }): LogName {
  return logOf({ deployment: signer.name, region }, log.tenantId, log.epoch);
}
