import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { startWorker } from '../../compliance/worker.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

// A worker in a process of its own, for tests that kill it: `node --import tsx worker-process.ts <JSON of its cell>`.
const { name, region, database, auditDatabase, archiveFolder } = JSON.parse(process.argv[2] ?? '') as Record<
  string,
  string
>;
if (
  name === undefined ||
  region === undefined ||
  database === undefined ||
  auditDatabase === undefined ||
  archiveFolder === undefined
) {
  throw new Error('the cell is not described');
}
const clock = () => new Date();
startWorker({
  cells: [
    { name, region, database, auditDatabase, archive: await filesystemArchive({ folder: archiveFolder, clock }) },
  ],
  signer: TEST_SIGNING_KEY,
  clock,
  sealIntervalMs: 0,
  batchSize: 20,
});
process.stdout.write('started\n');
