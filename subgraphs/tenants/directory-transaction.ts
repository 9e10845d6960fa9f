import type pg from 'pg';
import type { RequestContext } from '#kit/request-context.ts';
import { asTenonError, fail } from '#schema/errors.ts';

/** Runs the work in a transaction of the directory; SERVICE_UNAVAILABLE where it does not answer. */
export async function inDirectory<T>(ctx: RequestContext, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await ctx.databases.directory
    .connect()
    .catch((cause: unknown) =>
      fail('SERVICE_UNAVAILABLE', `the directory does not answer: ${String(cause)}`, { cause }),
    );
  let fault: Error | undefined;
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    fault = asTenonError(error);
    throw fault;
  } finally {
    // A connection whose transaction failed is not used again, which ends the transaction.
    client.release(fault);
  }
}
