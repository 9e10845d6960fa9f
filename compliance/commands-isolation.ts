import { writeFile } from 'node:fs/promises';
import type { CommandSurroundings } from '#kit/command.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readContextKeys, readSigningKey } from '#kit/key-files.ts';
import { readConfig } from '#schema/config.ts';
import { examineIsolation, type ExaminedStore } from './isolation/examination.ts';
import { signIsolation, worstOf, type IsolationStatement } from './isolation/statement.ts';

/** Options of `doctor` that this part of it adds. */
export const ISOLATION_OPTIONS = {
  isolation: {
    about: 'Attacks the isolation of tenants instead, in transactions that are rolled back, and signs what was found',
    flag: true,
  },
  out: { about: 'With --isolation: file for the signed statement, which `tenon verify` checks' },
} as const;

const EXIT = { pass: 0, fail: 1, 'cannot say': 2 } as const;

/** `doctor --isolation`: examines the stores of the running deployment and signs a statement of what was found. */
export async function examineAndSign(
  { write, json }: Pick<CommandSurroundings, 'write' | 'json'>,
  out: string | undefined,
): Promise<0 | 1 | 2> {
  const config = readConfig();
  // Asked before the keys: embedded mode would make new ones for a platform that was never started.
  const settingsFor = storeSettings(config);
  const stores: ExaminedStore[] = [];
  for await (const store of examineIsolation({ settingsFor, keys: readContextKeys(config), clock: () => new Date() })) {
    stores.push(store);
    if (!json) for (const line of linesOf(store)) write(line);
  }
  const statement: IsolationStatement = {
    deployment: config.deployment,
    at: new Date(),
    node: process.versions.node,
    verdict: worstOf(stores.flatMap(({ checks }) => checks)),
    stores,
  };
  const note = signIsolation(statement, readSigningKey(config));
  if (out !== undefined) await writeFile(out, note);
  if (json) write(JSON.stringify({ ...statement, note }, null, 2));
  else
    write(
      out === undefined ? `${statement.verdict}; --out keeps the signed statement` : `${statement.verdict}; ${out}`,
    );
  return EXIT[statement.verdict];
}

function linesOf({ store, postgresql, checks }: ExaminedStore): string[] {
  const passed = checks.filter(({ verdict }) => verdict === 'pass').length;
  const attacks = checks.filter(({ check }) => check.startsWith('attack ')).length;
  return [
    `${store.padEnd(11)} PostgreSQL ${postgresql}: ${passed} of ${checks.length} checks passed, ${attacks} of them attacks`,
    ...checks
      .filter(({ verdict }) => verdict !== 'pass')
      .map(({ check, role, verdict, sentence }) => `  ${verdict.padEnd(10)} ${check} ${role ?? ''} ${sentence}`),
  ];
}
