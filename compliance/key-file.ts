import { chownSync, existsSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { ConfigError } from '#schema/config.ts';

/** Refuses a key file that is not there (ConfigError): reading alone would make new keys in embedded mode. */
export function requireFile(file: string): void {
  if (!existsSync(file))
    throw new ConfigError(`there is no key file ${file}; the first start of the platform makes it, or keys init does`);
}

/** Puts a text in the place of a key file once the work is done: it is complete before, and both or neither remain. */
export async function replaceFile(file: string, text: string, work: () => Promise<void>): Promise<void> {
  const { uid, gid } = statSync(file);
  const staging = `${file}.new`;
  try {
    writeFileSync(staging, text, { mode: 0o600 });
    // Where root rotates the keys of a service, the service must be able to read them.
    if (process.getuid?.() === 0) chownSync(staging, uid, gid);
    await work();
    renameSync(staging, file);
  } finally {
    rmSync(staging, { force: true });
  }
}
