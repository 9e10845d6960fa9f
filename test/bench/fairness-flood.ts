import { Pool } from 'undici';

// Floods a server in a process of its own: so many connections, each sending again the moment it is answered, until the
// bench hangs up. Says then how much it got.

interface Flood {
  readonly url: string;
  readonly token: string;
  readonly body: string;
  readonly connections: number;
}

/** Answered so many times, the server is as warm as it gets and this process has started for good. */
const WARM_ANSWERS = 300;
const counts = { answered: 0, throttled: 0 };
const over = new AbortController();

process.on('message', (message: Flood | 'end') => {
  if (message !== 'end') void flood(message);
  else {
    over.abort();
    process.send?.(counts, () => process.exit(0));
  }
});
process.once('disconnect', () => process.exit(0));

async function flood({ url, token, body, connections }: Flood): Promise<void> {
  const pool = new Pool(url, { connections, pipelining: 1 });
  const sender = async () => {
    while (!over.signal.aborted) {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
      const response = await pool.request({ path: '/graphql', method: 'POST', headers, body });
      await response.body.text();
      counts.answered += 1;
      if (counts.answered === WARM_ANSWERS) process.send?.('warm');
      if (response.statusCode === 429) counts.throttled += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, sender));
}
