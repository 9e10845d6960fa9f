import type { Command } from '#kit/command.ts';
import { readContextKeys } from '#kit/key-files.ts';
import { ConfigError, readConfig } from '#schema/config.ts';
import { TenonError } from '#schema/errors.ts';
import { examineAndSign, ISOLATION_OPTIONS } from './commands-isolation.ts';
import { examineNode, examineStores, type Examination } from './doctor.ts';
import { storeSettings } from '#kit/embedded-stores.ts';

/** `doctor`: looks at everything that an installation leans on. */
export const doctor: Command = {
  name: 'doctor',
  about: 'Examines an installation: Node.js, PostgreSQL, roles, catalog, migrations, keys, clocks and archives.',
  options: ISOLATION_OPTIONS,
  run: async ({ write, json }, { options }) => {
    if (options['isolation'] === 'true') return examineAndSign({ write, json }, options['out']);
    const found: Examination[] = [];
    for await (const examination of examineAll()) {
      found.push(examination);
      if (!json) write(lineOf(examination));
    }
    if (json) write(JSON.stringify({ examinations: found }, null, 2));
    return found.some(({ status }) => status === 'fail') ? 1 : 0;
  },
};

async function* examineAll(): AsyncGenerator<Examination> {
  yield examineNode();
  try {
    const config = readConfig();
    // Asked first: without a platform that runs there is nothing to examine, and reading the keys would make new ones.
    storeSettings(config);
    yield* examineStores({ config, keys: readContextKeys(config), clock: () => new Date() });
  } catch (error) {
    if (!(error instanceof ConfigError) && !(error instanceof TenonError)) throw error;
    yield {
      check: error instanceof ConfigError ? 'settings' : 'platform',
      subject: '',
      status: 'fail',
      sentence: error.message,
    };
  }
}

function lineOf({ status, check, subject, sentence }: Examination): string {
  return [status.padEnd(5), check.padEnd(13), subject.padEnd(11), sentence].join(' ').trimEnd();
}
