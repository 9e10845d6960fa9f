import { open } from 'node:fs/promises';
import { UsageError, type Command, type CommandArguments } from '#kit/command.ts';
import { errnoOf } from '#kit/postgres-binaries.ts';
import { createProgress } from './progress.ts';
import { exitCodeOf, reportLines } from './verify/report.ts';
import { verifierKeyLines } from './verify/verifier-keys.ts';
import { verifyTarget, type VerifyOptions } from './verify/verify.ts';

/** `verify`: needs no platform, no database and no network. */
export const verifyCommand: Command = {
  name: 'verify',
  about:
    'Checks an archive, an evidence pack, a proof, an export, a certificate of erasure or a statement of isolation; offline.',
  positionals: ['<folder or file>'],
  options: {
    key: { about: 'Verifier key to trust, name+id+base64', repeatable: true },
    keys: { about: 'File of verifier keys, one a line' },
    checkpoint: { about: 'File with a signed head of a log that was kept elsewhere', repeatable: true },
    policy: { about: 'File that says whose cosignatures of the platform log count (C2SP tlog-policy)' },
    'tsa-ca': { about: 'File with certificates (PEM) of time stamp authorities to believe' },
    entry: { about: 'File with the entry that a proof is about, where it is not inside' },
  },
  run: async ({ write, json }, args) => {
    const [path = ''] = args.positionals;
    const progress = createProgress('verifying');
    try {
      const report = await verifyTarget(path, {
        ...(await optionsOf(args)),
        onProgress: (fraction) => progress.update(fraction),
      });
      progress.end();
      write(json ? JSON.stringify(report, null, 2) : reportLines(report).join('\n'));
      return exitCodeOf(report);
    } finally {
      progress.end();
    }
  },
};

const MAX_KEY_FILE_BYTES = 1024 * 1024;
const MAX_CHECKPOINT_BYTES = 1_000_000;
/** The longest entry and a line break. */
const MAX_ENTRY_FILE_BYTES = 65_536;
const LF = 0x0a;

async function optionsOf({ options, lists }: CommandArguments): Promise<VerifyOptions> {
  const { keys: keyFile, entry: entryFile } = options;
  const fromFile =
    keyFile === undefined ? [] : verifierKeyLines((await readBounded(keyFile, MAX_KEY_FILE_BYTES)).toString('utf8'));
  const checkpoints = await Promise.all(
    (lists['checkpoint'] ?? []).map((file) => readBounded(file, MAX_CHECKPOINT_BYTES)),
  );
  const policy = options['policy'] === undefined ? null : await readBounded(options['policy'], MAX_KEY_FILE_BYTES);
  const authorities = options['tsa-ca'] === undefined ? null : await readBounded(options['tsa-ca'], MAX_KEY_FILE_BYTES);
  const entry = entryFile === undefined ? null : withoutEnd(await readBounded(entryFile, MAX_ENTRY_FILE_BYTES));
  return {
    keys: [...(lists['key'] ?? []), ...fromFile],
    checkpoints,
    ...(policy === null ? {} : { policy }),
    ...(authorities === null ? {} : { authorities: authorities.toString('utf8') }),
    ...(entry === null ? {} : { entry }),
  };
}

/** An entry never ends in a line break, but many programs that write one into a file add it. */
function withoutEnd(bytes: Buffer): Buffer {
  return bytes.at(-1) === LF ? bytes.subarray(0, -1) : bytes;
}

async function readBounded(path: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path).catch((error: unknown) => {
    throw new UsageError(`${path} cannot be read (${errnoOf(error)})`);
  });
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes + 1), 0, maxBytes + 1);
    if (bytesRead > maxBytes) throw new UsageError(`${path} is longer than ${maxBytes} bytes`);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${path} cannot be read (${errnoOf(error)})`);
  } finally {
    await file.close();
  }
}
