import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { startWorker } from '../../compliance/worker.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

// A worker in a process of its own, for tests that kill it: `node --import tsx worker-process.ts <JSON of its cell>`. It
// says when it has started, and at once when an object stands in the archive.
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
const archive = await filesystemArchive({ folder: archiveFolder, clock });
const put: typeof archive.put = async (...object) => {
  await archive.put(...object);
  process.stdout.write('put\n');
};
startWorker({
  cells: [{ name, region, database, auditDatabase, archive: { ...archive, put } }],
  signer: TEST_SIGNING_KEY,
  clock,
  sealIntervalMs: 0,
  batchSize: 20,
});
process.stdout.write('started\n');
