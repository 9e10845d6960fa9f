import { listStores, type StoreMaker } from '#kit/store-setup.ts';
import { migrateStores } from '#kit/store-waves.ts';
import { parseContextKeys } from '#schema/tenant-context.ts';

// A run over the stores in a process of its own, for tests that kill it; it says when each store is done.
const { keyFile, ...settings } = JSON.parse(process.argv[2] ?? '') as Omit<StoreMaker, 'keys'> & {
  readonly keyFile: string;
};
const maker: StoreMaker = { ...settings, keys: parseContextKeys(keyFile) };
await migrateStores(maker, await listStores(maker), {
  canaries: [],
  atOnce: 2,
  mostFaults: 1,
  onProgress: ({ done }) => void process.stdout.write(`${done}\n`),
});
