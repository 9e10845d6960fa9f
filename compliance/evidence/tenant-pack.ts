import { asTenonError } from '#schema/errors.ts';
import type { PackManifest } from '../verify/pack-manifest.ts';
import type { PackScope } from './pack-scope.ts';
import { openSealedLog } from './sealed-log.ts';
import { writeTable } from './table.ts';
import { exportedTables, rowsOf, schemaOf } from './tenant-tables.ts';

/**
 * Writes all that a tenant has: every table of hers as CSV and NDJSON with a JSON Schema each, and her whole sealed log with
 * its signed checkpoints. Returns what had to be left out. Secrets are not in it: they are of use here alone.
 */
export async function writeTenantPack(scope: PackScope): Promise<PackManifest['omissions']> {
  const { ctx, files } = scope;
  for (const table of await exportedTables(ctx)) {
    await files.put(`schema/${table.name}.json`, `${JSON.stringify(schemaOf(table), null, 2)}\n`);
    const columns = table.columns.map(({ name }) => name);
    await writeTable(files, { stem: `data/${table.name}`, columns, rows: rowsOf(ctx, table) });
  }
  return copyLog(scope);
}

async function copyLog({ builder, ctx, head, files }: PackScope): Promise<PackManifest['omissions']> {
  if (head === null) return [];
  const own = files.fresh();
  const archive = builder.archiveOf(ctx.tenant.cell);
  const verifierKeys = [builder.signingKey.verifierKey, ...(builder.olderVerifierKeys ?? [])];
  try {
    await openSealedLog({ ctx, head, from: new Date(0), archive, files: own, verifierKeys });
    files.adopt(own);
    return [];
  } catch (thrown) {
    const error = asTenonError(thrown);
    builder.log('error', `the log is not in the export: ${error.message}`, { tenant: ctx.tenant.tenant });
    return [{ what: 'the sealed log', why: error.publicMessage }];
  }
}
