import { setTimeout as pause } from 'node:timers/promises';
import { request } from 'undici';

// Exports a tenant's whole log from a server in a process of its own, again and again until the bench hangs up, and reads
// it as fast as it comes. Says then how many entries it got.

interface Order {
  readonly url: string;
  readonly token: string;
}

/** So much of an export has come: it is on its way. */
const BEGUN_BYTES = 100_000;
const counts = { entries: 0, exports: 0 };
const over = new AbortController();

process.on('message', (message: Order | 'end') => {
  if (message !== 'end') void exportAll(message);
  else {
    over.abort();
    process.send?.(counts, () => process.exit(0));
  }
});
process.once('disconnect', () => process.exit(0));

async function exportAll({ url, token }: Order): Promise<void> {
  let bytes = 0;
  while (!over.signal.aborted) {
    const headers = { authorization: `Bearer ${token}` };
    const { statusCode, body } = await request(`${url}/v1/audit/events.ndjson`, { headers, signal: over.signal });
    if (statusCode === 429) {
      // The export that the last watch broke off is still being ended.
      await body.dump();
      await pause(50);
      continue;
    }
    if (statusCode !== 200) throw new Error(`the export was refused (${statusCode}): ${await body.text()}`);
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const before = bytes;
      bytes += chunk.length;
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) counts.entries += 1;
      if (before < BEGUN_BYTES && bytes >= BEGUN_BYTES) process.send?.('begun');
    }
    counts.exports += 1;
  }
}
