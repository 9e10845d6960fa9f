import { systemContext } from '#kit/credential.ts';
import { log } from '#kit/log.ts';
import { requestContext, type Platform } from '#kit/request-context.ts';
import { asTenonError } from '#schema/errors.ts';
import { idOf, mintId, type Id } from '#schema/ids.ts';
import { aloneInCell } from './cell-lock.ts';
import { keepTenant } from './tenant-upkeep.ts';

/** Where a turn is taken, and what ends it between two tenants. */
export interface UpkeepTurn {
  readonly platform: Platform;
  readonly cell: { readonly name: string; readonly database: string };
  readonly signal: AbortSignal;
}

const NAME = 'identity-upkeep';
const PAGE = 200;
/** So many tenants in a row in vain are no fault of theirs. */
const MOST_FAILURES = 5;

/**
 * Does what is due for every tenant of a cell, one after the other, each under her own context; false where another process
 * is at it. The fault of one tenant is logged and keeps none from the next. The databases have to be opened in the role of
 * the worker.
 */
export async function takeTurn(turn: UpkeepTurn): Promise<boolean> {
  return aloneInCell(turn.cell.database, async () => {
    let failures = 0;
    for await (const tenant of tenantsOf(turn)) {
      if (turn.signal.aborted) return;
      failures = (await isKept(turn, tenant)) ? 0 : failures + 1;
      if (failures === MOST_FAILURES) return;
    }
  });
}

async function isKept({ platform, signal }: UpkeepTurn, tenant: Id<'tnt'>): Promise<boolean> {
  try {
    const purpose = { name: NAME, requestId: mintId('req') };
    await keepTenant(requestContext(platform, await systemContext(platform.databases, tenant, purpose)), signal);
    return true;
  } catch (error) {
    const { code, message } = asTenonError(error);
    log('error', `sign-in of a tenant was not kept in order: ${message}`, { tenant, code });
    return false;
  }
}

/** Those who are not yet, or not any more, are left alone. */
async function* tenantsOf({ platform, cell }: UpkeepTurn): AsyncGenerator<Id<'tnt'>> {
  let after = '00000000-0000-0000-0000-000000000000';
  for (;;) {
    const { rows } = await platform.databases.directory.query<{ id: string }>(
      `select id from tenants where cell = $1 and id > $2 and state not in ('provisioning', 'erasing', 'erased')
        order by id limit $3`,
      [cell.name, after, PAGE],
    );
    for (const { id } of rows) yield idOf('tnt', id);
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    after = last.id;
  }
}
