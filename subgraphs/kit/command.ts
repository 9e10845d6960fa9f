import { parseArgs } from 'node:util';
import type { Platform } from './request-context.ts';

/** What a command needs of its surroundings: tests give their own. */
export interface CommandSurroundings {
  /** Opens the stores of the platform; called only by commands that need them. */
  readonly platform: () => Promise<Platform>;
  readonly write: (line: string) => void;
  /** True where `--json` asks for one JSON document instead of sentences. */
  readonly json: boolean;
}

/** The arguments of a command, checked against its options. */
export interface CommandArguments {
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, string | undefined>>;
  /** Every value of the options that may be repeated, in the order given; absent where none was. */
  readonly lists: Readonly<Record<string, readonly string[] | undefined>>;
}

/** An option of a command. */
export interface CommandOption {
  readonly about: string;
  readonly required?: boolean;
  readonly repeatable?: boolean;
  /** It takes no value; where it is given, its value reads `true`. */
  readonly flag?: boolean;
}

/** A command of the `tenon` program. */
export interface Command {
  /** One or two words, such as `tenant create`. */
  readonly name: string;
  readonly about: string;
  /** Positional arguments as the help shows them, such as `<slug>`; those in brackets may be left out. */
  readonly positionals?: readonly string[];
  readonly options?: Readonly<Record<string, CommandOption>>;
  /** Returns the exit code: 0 good, 1 a failed verdict, 2 cannot say or used wrongly. */
  readonly run: (surroundings: CommandSurroundings, args: CommandArguments) => Promise<0 | 1 | 2>;
}

/** A command used wrongly; the message says how it is used. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Returns the checked arguments of a command; anything unknown or missing is a UsageError. */
export function readArguments(command: Command, argv: readonly string[]): CommandArguments {
  const known = Object.fromEntries(
    Object.entries(command.options ?? {}).map(([name, { repeatable = false, flag = false }]) => [
      name,
      { type: flag ? ('boolean' as const) : ('string' as const), multiple: repeatable },
    ]),
  );
  let parsed;
  try {
    parsed = parseArgs({ args: [...argv], options: known, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n${usageOf(command)}`);
  }
  const values = Object.entries(parsed.values);
  const options = Object.fromEntries(values.map(([name, value]) => [name, [value].flat().map(String).at(-1)]));
  const lists = Object.fromEntries(
    values.flatMap(([name, value]) => (Array.isArray(value) ? [[name, value.map(String)]] : [])),
  );
  const positionals = command.positionals ?? [];
  const required = positionals.filter((name) => !name.startsWith('[')).length;
  const missing = Object.entries(command.options ?? {}).find(
    ([name, option]) => option.required === true && options[name] === undefined,
  );
  if (missing !== undefined) throw new UsageError(`--${missing[0]} is missing\n${usageOf(command)}`);
  if (parsed.positionals.length < required || parsed.positionals.length > positionals.length)
    throw new UsageError(usageOf(command));
  return { positionals: parsed.positionals, options, lists };
}

/** Returns the lines that `--help` shows for a command. */
export function usageOf(command: Command): string {
  const words = (command.positionals ?? []).join(' ');
  const options = Object.entries(command.options ?? {}).map(
    ([name, option]) =>
      `  --${name.padEnd(16)} ${option.about}${option.required === true ? ' (required)' : ''}${option.repeatable === true ? ' (repeatable)' : ''}`,
  );
  return [
    `usage: tenon ${command.name} ${words} [options]`.replaceAll('  ', ' '),
    command.about,
    ...options,
    '  --json             one JSON document instead of sentences',
    '  --help             this text',
  ].join('\n');
}
