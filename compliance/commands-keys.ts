import { chownSync, existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UsageError, type Command, type CommandSurroundings } from '#kit/command.ts';
import { installContextKeys, withStore } from '#kit/database-setup.ts';
import { storeSettings, type StoreDatabase } from '#kit/embedded-stores.ts';
import { allDatabasesOf } from '#kit/store-setup.ts';
import {
  dataKeyFileOf,
  newContextKeyFile,
  readContextKeys,
  readDataKeys,
  readSigningKey,
  signingKeyFileOf,
} from '#kit/key-files.ts';
import { requireStamp, stampOf } from '#kit/store-stamp.ts';
import { readSigningKeys, rotateSigningKey } from '#kit/signing-keys.ts';
import { errnoOf } from '#kit/postgres-binaries.ts';
import { readConfig, type Config } from '#schema/config.ts';
import { fail } from '#schema/errors.ts';
import { parseContextKeys, type ContextKeys } from '#schema/tenant-context.ts';
import { POOL } from '#schema/tenant-store.ts';
import { rotateData } from './data-key-rotation.ts';
import { replaceFile, requireFile } from './key-file.ts';

const init: Command = {
  name: 'keys init',
  about:
    'Makes the keys of a deployment in a folder: context-keys.json, data-keys.json and signing-key.pem. What is there already stays.',
  options: {
    folder: { about: 'Where to make them', required: true },
    owner: { about: 'Number of the user who shall own the files, for root alone' },
  },
  run: async ({ write, json }, { options }) => {
    // Embedded mode makes its keys in its own folder: the same files in the same way.
    const config = readConfig({ TENON_HOME: resolve(options['folder'] ?? '') });
    const files = { context: contextKeyFile(config), data: dataKeyFileOf(config), signing: signingKeyFileOf(config) };
    const made = Object.values(files).filter((file) => !existsSync(file));
    readContextKeys(config);
    readDataKeys(config);
    readSigningKey(config);
    const owner = options['owner'];
    if (owner !== undefined) for (const file of Object.values(files)) giveTo(file, owner);
    if (json) write(JSON.stringify({ files, made }, null, 2));
    else for (const file of Object.values(files)) write(`${file} ${made.includes(file) ? 'made' : 'was there'}`);
    return 0;
  },
};

const list: Command = {
  name: 'keys list',
  about: 'Shows the verifier key that auditors need, and the ids of the context keys; never a secret.',
  run: async ({ write, json }) => {
    const config = readConfig();
    requireFile(signingKeyFileOf(config));
    requireFile(contextKeyFile(config));
    const { verifierKeys } = readSigningKeys(config);
    const { signing, all } = readContextKeys(config);
    const kids = all.map(({ kid }) => kid);
    if (json) write(JSON.stringify({ verifierKeys, contextKeys: { signing: signing.kid, kids } }, null, 2));
    else {
      for (const [index, key] of verifierKeys.entries())
        write(`checkpoints and evidence  ${key}${index === 0 ? '' : '  earlier'}`);
      for (const kid of kids)
        write(`tenant context            ${kid}${kid === signing.kid ? '  signs' : '  verifies'}`);
    }
    return 0;
  },
};

const rotate: Command = {
  name: 'keys rotate',
  about:
    'Adds a context key that signs from the next start of each process on; older keys go on verifying. The databases are told first ' +
    '(as tenon_owner). The key of checkpoints and evidence stays; with --signing it is that one which is exchanged instead.',
  options: {
    signing: {
      about:
        'Exchanges the key of checkpoints and evidence; a statement signed by both keys leads from one to the other',
      flag: true,
    },
    data: {
      about:
        'Exchanges the key that wraps the keys of tenants, for personal values, and wraps them anew (as tenon_worker); run again it goes on',
      flag: true,
    },
    forget: { about: 'With --data: takes keys out of the file that no tenant needs any more', flag: true },
  },
  run: async ({ write, json }, { options }) => {
    const config = readConfig();
    if (options['signing'] !== undefined) return rotateSigning(config, { write, json });
    if (options['data'] !== undefined)
      return rotateData(config, { write, json, isForgetting: options['forget'] !== undefined });
    if (options['forget'] !== undefined) throw new UsageError('--forget goes with --data');
    const databases = (await allDatabasesOf(storeSettings(config)('tenon_owner'))).filter(
      ({ kind }) => kind !== 'directory',
    );
    const file = contextKeyFile(config);
    requireFile(file);
    const text = newContextKeyFile(readKeyFile(file));
    const keys = parseContextKeys(text);
    await replaceFile(file, text, async () => {
      for (const database of databases) await install(database, keys);
    });
    const kids = keys.all.map(({ kid }) => kid);
    if (json)
      write(
        JSON.stringify(
          { contextKeys: { signing: keys.signing.kid, kids }, databases: databases.map(({ name }) => name) },
          null,
          2,
        ),
      );
    else {
      write(
        `${keys.signing.kid} signs from now on; ${kids.length - 1} older ${kids.length === 2 ? 'key goes' : 'keys go'} on verifying.`,
      );
      write(`${databases.length} databases know it. Restart subgraphs and workers first, then gateways.`);
    }
    return 0;
  },
};

/** The commands about keys. */
export const keyCommands: readonly Command[] = [init, list, rotate];

/** The worker archives the statement and writes it into the platform logs when it takes the new key up. */
function rotateSigning(config: Config, { write, json }: Pick<CommandSurroundings, 'write' | 'json'>): 0 {
  requireFile(signingKeyFileOf(config));
  const { oldKey, newKey, statement } = rotateSigningKey(config, new Date());
  if (json) write(JSON.stringify({ verifierKeys: [newKey, oldKey], statement }, null, 2));
  else {
    write(`${newKey} signs from the next start of the worker on, in place of`);
    write(`${oldKey}, which goes on verifying what it has signed.`);
    write('Restart worker and gateways. Whoever trusts the old key is led to the new one by /.well-known/tenon/keys.');
  }
  return 0;
}

function contextKeyFile({ contextKeyFile: file, home }: Config): string {
  return file ?? join(home, 'context-keys.json');
}

function readKeyFile(file: string): { readonly keys: readonly unknown[] } {
  const text = readFileSync(file, 'utf8');
  parseContextKeys(text);
  return JSON.parse(text) as { keys: unknown[] };
}

async function install({ name, url, kind, cell, store = POOL }: StoreDatabase, keys: ContextKeys): Promise<void> {
  if (kind === 'directory' || cell === null) return;
  try {
    await withStore(url, store, async (client) => {
      await requireStamp(client, stampOf(cell, kind));
      await installContextKeys(client, keys, cell.name);
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    fail(
      'SERVICE_UNAVAILABLE',
      `the keys could not be installed in the database ${name}: ${reason}; the key file is as it was`,
      { cause },
    );
  }
}

function giveTo(file: string, owner: string): void {
  if (!/^\d{1,9}$/.test(owner)) throw new UsageError('--owner takes the number of a user');
  try {
    chownSync(file, Number(owner), Number(owner));
  } catch (error) {
    throw new UsageError(`${file} cannot be given to user ${owner} (${errnoOf(error)})`);
  }
}
