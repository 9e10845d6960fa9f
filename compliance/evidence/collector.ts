import type { CellSettings } from '#schema/setting-readers.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { Archive } from '../archive/archive.ts';
import type { PackManifest } from '../verify/pack-manifest.ts';
import type { CriterionId } from './criteria.ts';
import type { PackFiles } from './pack-files.ts';
import type { Population, PopulationDraft } from './population.ts';
import type { SealedLog } from './sealed-log.ts';

/** Gathers the evidence of some criteria. */
export interface Collector {
  /** Such as `E1`. */
  readonly id: string;
  readonly title: string;
  readonly criteria: readonly CriterionId[];
  /** Writes the populations and judges the controls; a throw leaves this collector out of the pack and no other. */
  readonly collect: (scope: CollectionScope) => Promise<Collection>;
}

/** What a collector found. */
export interface Collection {
  readonly populations: readonly Population[];
  readonly controls: readonly ControlFinding[];
}

/** What was tested for a criterion, and how it ended; exceptions are shown, never summed up into a judgement. */
export interface ControlFinding {
  readonly criterion: CriterionId;
  /** What was done to find exceptions. */
  readonly test: string;
  /** Names of the populations that were tested. */
  readonly populations: readonly string[];
  readonly exceptions: readonly ControlException[];
  /** Why it could not be tested, as a sentence; null where it was. */
  readonly untested: string | null;
  /** Figures and digests that the reader compares with what she has herself. */
  readonly facts: Readonly<Record<string, JsonValue>>;
}

/** One deviation from what a control promises. */
export interface ControlException {
  readonly object: string;
  readonly sentence: string;
  /** Entry of the log; null where it is about none. */
  readonly seq: number | null;
}

/** What every collector works with; all reads are those of one tenant. */
export interface CollectionScope {
  readonly ctx: RequestContext;
  /** With the database and the store that hold the tenant's rows. */
  readonly cell: CellSettings & { readonly store?: string | undefined };
  /** The end is outside. */
  readonly window: { readonly from: Date; readonly to: Date };
  /** The end of the window, or of the sealed log where that is earlier: what state means, whenever the pack is built. */
  readonly asOf: Date;
  readonly archive: Archive;
  readonly supergraphSdl: string;
  readonly generator: PackManifest['generator'];
  /** The sealed log, or null while nothing of it is sealed; rejects where the archive is away. */
  readonly log: () => Promise<SealedLog | null>;
  readonly files: PackFiles;
  readonly write: (draft: PopulationDraft) => Promise<Population>;
}
