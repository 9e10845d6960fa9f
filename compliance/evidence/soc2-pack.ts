import { asTenonError, fail } from '#schema/errors.ts';
import { POOL, storeUrl } from '#schema/tenant-store.ts';
import type { PackManifest } from '../verify/pack-manifest.ts';
import { access } from './access.ts';
import { change } from './change.ts';
import type { CollectionScope, Collector } from './collector.ts';
import { controlOf, untestedControl, writeControl, type Control } from './control-files.ts';
import { isolation } from './isolation.ts';
import { logIntegrity } from './log-integrity.ts';
import type { PackScope } from './pack-scope.ts';
import type { PackFiles } from './pack-files.ts';
import { writePopulation, type Population } from './population.ts';
import { openSealedLog, type SealedLog } from './sealed-log.ts';
import { soc2Report } from './soc2-report.ts';

/** Every collector, in the order in which they run. */
const COLLECTORS: readonly Collector[] = [isolation, access, logIntegrity, change];

/**
 * Writes controls, populations, log and report of a SOC 2 pack and returns what had to be left out: a collector that
 * fails leaves nothing behind but its criteria as not tested.
 */
export async function writeSoc2Pack(scope: PackScope): Promise<PackManifest['omissions']> {
  const { files } = scope;
  const log = sealedLogOf(scope);
  const controls: Control[] = [];
  const populations: Population[] = [];
  const omissions: { what: string; why: string }[] = [];
  for (const collector of COLLECTORS) {
    const own = files.fresh();
    try {
      const collection = await collector.collect(await collectionScope(scope, { files: own, log }));
      files.adopt(own);
      populations.push(...collection.populations);
      controls.push(...collection.controls.map((finding) => controlOf(collector, finding)));
    } catch (thrown) {
      const error = asTenonError(thrown);
      scope.builder.log('error', `evidence collector ${collector.id} failed: ${error.message}`, {
        tenant: scope.request.tenant,
      });
      omissions.push({
        what: `${collector.id} ${collector.title} (${collector.criteria.join(', ')})`,
        why: error.publicMessage,
      });
      controls.push(
        ...collector.criteria.map((criterion) => untestedControl(collector, criterion, error.publicMessage)),
      );
    }
  }
  omissions.push(...(await adoptLog(scope, log)));
  const sorted = controls.toSorted((left, right) => (left.criterion < right.criterion ? -1 : 1));
  for (const control of sorted) await writeControl(files, control);
  await files.put('report.html', soc2Report(scope.packHead(omissions), { controls: sorted, populations }));
  return omissions;
}

interface CopiedLog {
  readonly log: SealedLog;
  readonly files: PackFiles;
}

/** Copies the log when the first collector asks for it, and once. */
function sealedLogOf(scope: PackScope): () => Promise<CopiedLog | null> {
  let copied: Promise<CopiedLog | null> | undefined;
  return () => (copied ??= copyLog(scope));
}

async function copyLog({ builder, request, ctx, head, files }: PackScope): Promise<CopiedLog | null> {
  if (head === null) return null;
  const own = files.fresh();
  const log = await openSealedLog({
    ctx,
    head,
    from: request.window.from,
    archive: builder.archiveOf(ctx.tenant.cell),
    files: own,
    verifierKeys: [builder.signingKey.verifierKey, ...(builder.olderVerifierKeys ?? [])],
  });
  return { log, files: own };
}

async function adoptLog(scope: PackScope, log: () => Promise<CopiedLog | null>): Promise<PackManifest['omissions']> {
  try {
    const copied = await log();
    if (copied !== null) scope.files.adopt(copied.files);
    return [];
  } catch (thrown) {
    return [{ what: 'the sealed log', why: asTenonError(thrown).publicMessage }];
  }
}

async function collectionScope(
  { builder, request, ctx, head, generator }: PackScope,
  { files, log }: { files: PackFiles; log: () => Promise<CopiedLog | null> },
): Promise<CollectionScope> {
  const sealed = async (): Promise<SealedLog | null> => (await log())?.log ?? null;
  const cell =
    ctx.databases.cells.find(({ name }) => name === ctx.tenant.cell) ??
    fail('SERVICE_UNAVAILABLE', `this process does not serve the cell ${ctx.tenant.cell}`);
  return {
    ctx,
    // What is shown of the database is shown of the one that holds her rows.
    cell: { ...cell, database: storeUrl(cell.database, ctx.tenant.store ?? POOL), store: ctx.tenant.store },
    window: request.window,
    asOf: head === null || head.lastAt > request.window.to ? request.window.to : head.lastAt,
    archive: builder.archiveOf(ctx.tenant.cell),
    generator,
    supergraphSdl: builder.supergraph.sdl,
    log: sealed,
    files,
    // What comes from a database needs no log: an archive that is away must not leave it out.
    write: async (draft) =>
      writePopulation(files, draft, draft.select === null ? await sealed().catch(() => null) : await sealed()),
  };
}
