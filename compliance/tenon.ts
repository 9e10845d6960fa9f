import { readFileSync } from 'node:fs';
import { readArguments, UsageError, usageOf, type Command, type CommandSurroundings } from '#kit/command.ts';
import { openDatabases } from '#kit/database.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readContextKeys, readDataKeys } from '#kit/key-files.ts';
import { requireSafeDatabases } from '#kit/postgres-version.ts';
import type { Platform } from '#kit/request-context.ts';
import { ConfigError, readConfig } from '#schema/config.ts';
import { TenonError } from '#schema/errors.ts';
import { complianceCommands } from './commands.ts';

const HELP = ['--help', '-h'];
const FLAGS = new Set([...HELP, '--json']);

const own = complianceCommands({
  personalData: async () => {
    const { subgraphs } = await import('#subgraphs');
    return subgraphs.flatMap(({ name, personalData }) =>
      personalData === undefined ? [] : [{ subgraph: name, handler: personalData }],
    );
  },
  supergraphSdl: () => readFileSync(new URL('../schema/graphql/supergraph.graphql', import.meta.url), 'utf8'),
});

// The `tenon` program. Exit codes: 0 good, 1 a failed verdict, 2 cannot say or used wrongly.
process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<0 | 1 | 2> {
  // A reader that has seen enough, such as `head`, closes its end.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 2));
  const words = argv.filter((word) => !FLAGS.has(word));
  const json = argv.includes('--json');
  const opened: Platform[] = [];
  const surroundings: CommandSurroundings = {
    json,
    write,
    platform: async () => opened[opened.push(await openPlatform()) - 1] ?? fallThrough(),
  };
  try {
    const command = await findCommand(words);
    if (argv.some((word) => HELP.includes(word)) || command === null) return await help(words, command);
    return await command.run(surroundings, readArguments(command, words.slice(command.name.split(' ').length)));
  } catch (error) {
    return refuse(error, json);
  } finally {
    for (const { databases } of opened) await databases.close();
  }
}

/** The subgraphs take seconds to load, and what an auditor runs needs none of them. */
async function findCommand(words: readonly string[]): Promise<Command | null> {
  return match(own, words) ?? (words.length === 0 ? null : match(await allCommands(), words));
}

async function allCommands(): Promise<readonly Command[]> {
  const { subgraphs } = await import('#subgraphs');
  return [...subgraphs.flatMap(({ commands }) => commands ?? []), ...own].toSorted((left, right) =>
    left.name < right.name ? -1 : 1,
  );
}

/** The longest name wins: `tenant list` before a command that were called `tenant`. */
function match(commands: readonly Command[], words: readonly string[]): Command | null {
  const names = [words.slice(0, 2).join(' '), words[0]];
  return (
    names.map((name) => commands.find((command) => command.name === name)).find((command) => command !== undefined) ??
    null
  );
}

/** One command in full, or the list of those whose name begins like this; an unknown word is wrong use. */
async function help(words: readonly string[], command: Command | null): Promise<0 | 2> {
  if (command !== null) {
    write(usageOf(command));
    return 0;
  }
  const group = words.length === 1 ? await groupOf(words[0] ?? '') : [];
  if (words.length === 0 || group.length > 0) {
    write(listOf(group.length > 0 ? group : await allCommands()));
    return 0;
  }
  process.stderr.write(`there is no command ${words.slice(0, 2).join(' ')}\n${listOf(await allCommands())}\n`);
  return 2;
}

async function groupOf(word: string): Promise<readonly Command[]> {
  return (await allCommands()).filter(({ name }) => name.startsWith(`${word} `));
}

function listOf(commands: readonly Command[]): string {
  return [
    'usage: tenon <command> [options]',
    // One line each: the first sentence.
    ...commands.map(({ name, about }) => `  ${name.padEnd(18)} ${about.replace(/\. .*$/, '.')}`),
    'tenon <command> --help says how each is used; --json gives one JSON document instead of sentences.',
  ].join('\n');
}

async function openPlatform(): Promise<Platform> {
  const config = readConfig();
  // Before the keys: embedded mode would make new ones for a platform that was never started.
  const stores = storeSettings(config)('tenon_app');
  const { subgraphs } = await import('#subgraphs');
  const databases = await openDatabases({
    ...stores,
    keys: readContextKeys(config),
    dataKeys: readDataKeys(config),
    storeBudget: config.storeBudget,
    entities: subgraphs.flatMap(({ entities }) => entities),
    poolSize: 4,
    longStatements: true,
  });
  await requireSafeDatabases(databases, config.profile).catch(async (error: unknown) => {
    await databases.close();
    throw error;
  });
  return {
    config,
    databases,
    clock: () => new Date(),
    publicUrl: config.publicUrl ?? `http://${config.host}:${config.port}`,
  };
}

function refuse(error: unknown, json: boolean): 2 {
  const isExpected = error instanceof UsageError || error instanceof ConfigError || error instanceof TenonError;
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof TenonError ? error.code : 'USAGE';
  if (json) write(JSON.stringify({ error: { code: isExpected ? code : 'INTERNAL_SERVER_ERROR', message } }));
  else process.stderr.write(`${!isExpected && error instanceof Error ? (error.stack ?? message) : message}\n`);
  return 2;
}

function write(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fallThrough(): never {
  throw new Error('what was just pushed is there');
}
