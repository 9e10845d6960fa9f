import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { log } from '#kit/log.ts';
import type { Config } from '#schema/config.ts';
import { asTenonError, fail } from '#schema/errors.ts';

/** The supergraph of this version, which is served where the settings name no file. */
const OWN_SUPERGRAPH = fileURLToPath(new URL('../schema/graphql/supergraph.graphql', import.meta.url));
/** How often the file is looked at; by its time, since file events do not reach every kind of mounted folder. */
const LOOK_MS = 1_000;

/** Returns the text of the supergraph that the settings name; one that cannot be read is SERVICE_UNAVAILABLE. */
export function readSupergraph({ supergraphFile }: Pick<Config, 'supergraphFile'>): string {
  const file = supergraphFile ?? OWN_SUPERGRAPH;
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    return fail('SERVICE_UNAVAILABLE', `the supergraph ${file} cannot be read: ${asTenonError(cause).message}`, {
      cause,
    });
  }
}

/**
 * Loads the supergraph again whenever its file changes, and on SIGHUP; one that cannot be served is logged, and the one
 * before stays. Without a file there is nothing to load, and SIGHUP, which would end the process, says so. Returns what
 * ends the watching.
 */
export function watchSupergraph(
  config: Pick<Config, 'supergraphFile'>,
  reload: (supergraphSdl: string) => Promise<void>,
): () => void {
  const { supergraphFile: file } = config;
  if (file === null) return onHangup(nothingToLoad);
  let reloading = Promise.resolve();
  const load = () => {
    // One after the other: the last one written is the one that stays.
    reloading = reloading.then(() => reload(readSupergraph(config))).then(loaded, refused);
  };
  watchFile(file, { interval: LOOK_MS, persistent: false }, load);
  const unhook = onHangup(load);
  return () => {
    unwatchFile(file, load);
    unhook();
  };
}

function onHangup(does: () => void): () => void {
  process.on('SIGHUP', does);
  return () => void process.off('SIGHUP', does);
}

function nothingToLoad(): void {
  log('info', 'SIGHUP: TENON_SUPERGRAPH_FILE names no supergraph to load again; the one of this version stays');
}

function loaded(): void {
  log('info', 'the supergraph was loaded again');
}

function refused(error: unknown): void {
  log('error', 'the new supergraph is not served; the one before stays', { reason: asTenonError(error).message });
}
