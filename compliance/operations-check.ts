import type { GraphQLSchema } from 'graphql';
import { approvedOperations } from '#kit/approved-operations.ts';
import { UsageError, type Command } from '#kit/command.ts';
import { readManifestFolder } from '#kit/manifest-folder.ts';
import type { Platform } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { checkOperations, type BrokenOperation, type RelyingOperation } from '#schema/operation-check.ts';
import { faultLine } from '#schema/operation-manifest.ts';
import { createProgress } from './progress.ts';
import { MANIFEST_FOLDER, readText } from './operations-client.ts';

/** An operation that a supergraph would break, and whose it is. */
interface Breach extends BrokenOperation {
  /** Slug of the tenant; null for an operation of the platform's own manifests. */
  readonly tenant: string | null;
}

const MAX_SUPERGRAPH_BYTES = 16 * 1024 * 1024;

/** `operations check`: what a new supergraph would break, of all tenants and of the platform's own manifests. */
export const checkCommand: Command = {
  name: 'operations check',
  about: 'Holds every registered operation of every tenant against a supergraph, and names those that it would break.',
  options: { supergraph: { about: 'File of the supergraph SDL', required: true } },
  run: async (surroundings, { options }) => {
    const schema = await schemaOf(await readText(options['supergraph'] ?? '', MAX_SUPERGRAPH_BYTES));
    const platform = await surroundings.platform();
    const breaches: Breach[] = [];
    let checked = 0;
    for await (const { tenant, operations } of allOperations(platform)) {
      checked += operations.length;
      for (const broken of checkOperations(schema, operations)) breaches.push({ tenant, ...broken });
    }
    if (surroundings.json) surroundings.write(JSON.stringify({ checked, broken: breaches }, null, 2));
    else {
      for (const breach of breaches) surroundings.write(lineOf(breach));
      surroundings.write(`${checked} operations checked, ${breaches.length} would break`);
    }
    return breaches.length === 0 ? 0 : 1;
  },
};

interface Owned {
  readonly tenant: string | null;
  readonly operations: readonly RelyingOperation[];
}

async function* allOperations({ databases, clock }: Platform): AsyncGenerator<Owned> {
  yield { tenant: null, operations: await ownOperations() };
  const progress = createProgress('reading registered operations');
  try {
    for await (const { fraction, ...owned } of approvedOperations(databases, clock())) {
      progress.update(fraction);
      yield owned;
    }
  } finally {
    progress.end();
  }
}

/** A manifest that cannot be read is a verdict that cannot be given. */
async function ownOperations(): Promise<readonly RelyingOperation[]> {
  const files = await readManifestFolder(MANIFEST_FOLDER);
  return files.flatMap(({ file, client, operations, faults: [fault] }) => {
    if (fault !== undefined) fail('INTERNAL_SERVER_ERROR', `${file}: ${faultLine(fault)}`);
    return operations.map(({ id, name, body }) => ({ client, id, name, body }));
  });
}

/** Composition takes a second to load, which commands that need none of it are spared. */
async function schemaOf(sdl: string): Promise<GraphQLSchema> {
  const { apiSchemaOf } = await import('#kit/api-schema.ts');
  try {
    return apiSchemaOf(sdl).schema;
  } catch (error) {
    throw new UsageError(`--supergraph holds no supergraph: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function lineOf({ tenant, client, id, name, reason }: Breach): string {
  return `${tenant ?? 'platform'}  ${client}  ${faultLine({ id, name, reason })}`;
}
