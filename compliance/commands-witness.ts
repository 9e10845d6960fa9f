import { setTimeout as pause } from 'node:timers/promises';
import { UsageError, type Command, type CommandArguments, type CommandSurroundings } from '#kit/command.ts';
import { asTenonError, TenonError } from '#schema/errors.ts';
import { parseVerifierKey, type NoteVerifier } from '#schema/signed-note.ts';
import { deploymentAt, type DeploymentAddress } from './witness/deployment.ts';
import { openWitnessKey } from './witness/key.ts';
import { knownKeys, pull, type PullOptions, type PullResult } from './witness/pull.ts';
import { serveWitness, type WitnessServer } from './witness/server.ts';
import { openWitnessState, type WitnessState } from './witness/state.ts';
import { createWitness, type Witness } from './witness/witness.ts';

/** `witness`: run by the customer, over her own log, on a machine that the deployment has no hand on. */
export const witnessCommand: Command = {
  name: 'witness',
  about:
    'Watches a log from outside: proves that it only grows and cosigns its checkpoints. With --url it looks at the own ' +
    'log of a tenant, again and again; with --listen it cosigns what logs bring (C2SP tlog-witness). A log that was ' +
    'cut off or rewritten ends it with exit code 1, and both signed notes stay in the folder.',
  options: {
    folder: { about: 'Keeps the key of the witness and what it has seen; made at the first start', required: true },
    vkey: { about: 'Verifier key of the log, name+id+base64', required: true, repeatable: true },
    url: { about: 'Address of the deployment, such as https://api.example.com' },
    token: { about: 'Token with audit:read; by default that of TENON_TOKEN, which no list of processes shows' },
    once: { about: 'Looks once and ends', flag: true },
    interval: { about: 'Time between two looks, such as 60s, 5m or 1h; by default 60s' },
    listen: { about: 'Port, or host:port, to serve POST /add-checkpoint on; by default on 127.0.0.1' },
    name: { about: 'Name of the witness, given at its first start; by default <host>/tenon-witness' },
  },
  run: async (surroundings, args) => {
    const settings = settingsOf(args);
    const state = await openWitnessState(settings.folder);
    const key = await openWitnessKey(settings.folder, settings.name);
    const witness = createWitness({ state, key, clock: () => new Date() });
    const server = settings.listen === null ? null : await listen(settings, { state, witness });
    try {
      if (server !== null || !settings.once) begin(surroundings, { witness, server });
      return await look(surroundings, settings, { state, witness });
    } finally {
      await server?.close();
    }
  },
};

interface Settings {
  readonly folder: string;
  readonly keys: readonly NoteVerifier[];
  readonly deployment: DeploymentAddress | null;
  readonly once: boolean;
  readonly intervalMs: number;
  readonly listen: { readonly host: string; readonly port: number } | null;
  readonly name: string | null;
}

interface Parts {
  readonly state: WitnessState;
  readonly witness: Witness;
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

function settingsOf({ options, lists }: CommandArguments): Settings {
  const { folder = '', listen: address, interval = '60s', name = null } = options;
  const deployment = deploymentOf(options['url'], options['token'] ?? process.env['TENON_TOKEN']);
  if (deployment === null && address === undefined) refuse('witness takes --url, --listen or both');
  return {
    folder,
    keys: (lists['vkey'] ?? []).map(keyOf),
    deployment,
    once: options['once'] !== undefined,
    intervalMs: intervalOf(interval),
    listen: address === undefined ? null : addressOf(address),
    name,
  };
}

function deploymentOf(url: string | undefined, token: string | undefined): DeploymentAddress | null {
  if (url === undefined) return null;
  if (!/^https?:\/\//.test(url)) refuse('--url takes an http(s) address');
  return { url, token: token ?? refuse('--url needs --token, or TENON_TOKEN') };
}

function keyOf(text: string): NoteVerifier {
  try {
    return parseVerifierKey(text);
  } catch (error) {
    throw new UsageError(`--vkey: ${asTenonError(error).message}`);
  }
}

function intervalOf(text: string): number {
  const [, count = '', unit = ''] = /^([1-9][0-9]{0,4})([smh])$/.exec(text) ?? [];
  const intervalMs = Number(count) * (UNITS[unit] ?? 0);
  return intervalMs > 0 ? intervalMs : refuse('--interval takes a time such as 60s, 5m or 1h');
}

function addressOf(text: string): { host: string; port: number } {
  const [, host = '127.0.0.1', port = ''] = /^(?:(.+):)?([0-9]{1,5})$/.exec(text) ?? [];
  const number = Number(port);
  if (port === '' || number > 65_535) refuse('--listen takes a port, or host:port');
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: number };
}

async function listen({ listen: address, keys }: Settings, { state, witness }: Parts): Promise<WitnessServer> {
  if (address === null) throw new UsageError('--listen is missing');
  return serveWitness({
    ...address,
    witness,
    // What a look at the deployment has learnt counts from the next request on.
    keys: () => knownKeys({ state, keys }),
    onTrouble: (sentence) => shout(`WITNESS: ${sentence}`),
  }).catch((error: unknown) => refuse(`it cannot listen on ${address.host}:${address.port} (${String(error)})`));
}

function begin(
  { write, json }: CommandSurroundings,
  { witness, server }: { witness: Witness; server: WitnessServer | null },
): void {
  const facts = { witness: witness.verifierKey, listening: server?.url ?? null };
  if (json) write(JSON.stringify(facts));
  else {
    write(`witness    ${facts.witness}`);
    if (facts.listening !== null) write(`listening  ${facts.listening}`);
  }
}

async function look(surroundings: CommandSurroundings, settings: Settings, parts: Parts): Promise<0 | 1 | 2> {
  const stop = stopSignal();
  if (settings.deployment === null) {
    await aborted(stop);
    return 0;
  }
  const options: PullOptions = { ...parts, keys: settings.keys, deployment: deploymentAt(settings.deployment) };
  while (!stop.aborted) {
    const result = await tryPull(options, settings.once);
    if (result !== null) {
      tell(surroundings, result, parts.witness);
      if ('evidence' in result) return 1;
    }
    if (settings.once) return 0;
    await pause(settings.intervalMs, undefined, { signal: stop }).catch(() => undefined);
  }
  return 0;
}

/** A deployment that is away says nothing about its log: once it is an error, in a row it is told and tried again. */
async function tryPull(options: PullOptions, once: boolean): Promise<PullResult | null> {
  try {
    return await pull(options);
  } catch (error) {
    if (once || !(error instanceof TenonError) || error.code !== 'SERVICE_UNAVAILABLE') throw error;
    shout(error.message);
    return null;
  }
}

function tell({ write, json }: CommandSurroundings, result: PullResult, witness: Witness): void {
  if (json) write(JSON.stringify({ ...result, witness: witness.verifierKey }));
  else write(sentenceOf(result));
  if ('evidence' in result)
    shout(`THE LOG CANNOT BE TRUSTED: ${result.sentence}. Both sides are kept in ${result.evidence}`);
}

function sentenceOf(result: PullResult): string {
  switch (result.kind) {
    case 'empty':
      return 'nothing is sealed yet';
    case 'unchanged':
      return `${result.origin}: ${result.size} entries, as before`;
    case 'cosigned':
      return `${result.origin}: grew from ${result.before} to ${result.size} entries; cosigned in ${result.file}`;
    default:
      return `${result.kind.toUpperCase()}: ${result.sentence}; evidence in ${result.evidence}`;
  }
}

function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort());
  return controller.signal;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function shout(line: string): void {
  process.stderr.write(`${line}\n`);
}

function refuse(reason: string): never {
  throw new UsageError(reason);
}
