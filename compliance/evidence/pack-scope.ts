import type { TenantPlace } from '#kit/directory.ts';
import type { SigningKey } from '#kit/key-files.ts';
import type { log as logLine } from '#kit/log.ts';
import type { Platform, RequestContext } from '#kit/request-context.ts';
import type { Id } from '#schema/ids.ts';
import type { Archive } from '../archive/archive.ts';
import type { PackManifest } from '../verify/pack-manifest.ts';
import type { PersonalDataSource } from './access-export.ts';
import type { PackFiles } from './pack-files.ts';
import type { PackHead } from './report-parts.ts';
import type { LogHead } from './sealed-log.ts';

/** What building packs needs, whoever they are for. */
export interface EvidenceBuilder {
  /** Opened as `tenon_worker` or `tenon_app`; a pack reads what the tenant has and no more, as either. */
  readonly platform: Platform;
  /** The archive of a cell by its name. */
  readonly archiveOf: (cell: string) => Archive;
  readonly signingKey: SigningKey;
  /** Verifier keys that signed older checkpoints. */
  readonly olderVerifierKeys?: readonly string[];
  /** Statements of the rotations between those keys, oldest first. */
  readonly rotations?: readonly string[];
  readonly personalData: readonly PersonalDataSource[];
  readonly supergraph: { readonly sdl: string };
  readonly log: typeof logLine;
  /** What the manifest names as its maker; by default the program as its files lie there at the first pack. */
  readonly generator?: PackManifest['generator'];
}

/** Which pack to build. */
export interface EvidenceRequest {
  readonly tenant: Id<'tnt'>;
  readonly kind: PackManifest['kind'];
  /** The end is outside. */
  readonly window: { readonly from: Date; readonly to: Date };
  /** The person of an access export: a `usr_` id; only there, and there needed. */
  readonly subjectId?: string;
}

/** What the writers of both kinds work with. */
export interface PackScope {
  readonly builder: EvidenceBuilder;
  readonly request: EvidenceRequest;
  readonly ctx: RequestContext;
  readonly place: TenantPlace;
  readonly head: LogHead | null;
  readonly generator: PackManifest['generator'];
  readonly files: PackFiles;
  /** Returns what a report says of the pack; called when all that can be left out is known. */
  readonly packHead: (omissions: PackManifest['omissions']) => PackHead;
}
