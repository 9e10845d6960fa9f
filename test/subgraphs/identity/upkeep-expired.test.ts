import { randomBytes, randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemContext } from '#kit/credential.ts';
import { requestContext, type Platform } from '#kit/request-context.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { deleteExpired } from '../../../subgraphs/identity/upkeep/expired-rows.ts';
import { openIdentity, type IdentityPlatform, type TestTenant } from './identity-platform.ts';
import { openUpkeepWorker, turnIn } from './upkeep-world.ts';

const HOUR_MS = 3_600_000;
const start = new Date();
let world: IdentityPlatform;
let worker: Platform;
beforeAll(async () => {
  world = await openIdentity();
  worker = await openUpkeepWorker(world);
});

/** Takes a turn in cell eu-1, hours after the start. */
async function turnAt(hours: number): Promise<boolean> {
  world.setNow(new Date(start.getTime() + hours * HOUR_MS));
  return turnIn(worker);
}

describe('what has expired', () => {
  const TABLES = [
    'sign_in_flows',
    'used_assertions',
    'spent_challenges',
    'pending_sign_ins',
    'authorization_codes',
    'refresh_tokens',
    'sign_in_attempts',
  ] as const;
  const EACH_ONE = TABLES.map((table) => [table, 1]);

  /** A row of every table that lives until `endMs`, and a refresh token of a session that ends then. */
  async function plant(tenant: TestTenant, endMs: number): Promise<void> {
    const end = new Date(endMs);
    const [tenantId, userId] = [uuidOf('tnt', tenant.id), uuidOf('usr', tenant.adminId)];
    const [connection, session] = [randomUUID(), randomUUID()];
    const put = async (table: string, row: Readonly<Record<string, unknown>>) => {
      const all = { tenant_id: tenantId, ...row };
      const marks = Object.keys(all).map((_, at) => `$${at + 1}`);
      await world.peek(
        tenant.cell,
        `insert into ${table} (${Object.keys(all).join(', ')}) values (${marks.join(', ')})`,
        Object.values(all),
      );
    };
    const hash = () => randomBytes(32);
    await put('identity_connections', { id: connection, kind: 'oidc', name: connection, settings: '{}' });
    await put('credentials', {
      id: session,
      kind: 'session',
      user_id: userId,
      name: 'test',
      secret_hash: hash(),
      expires_at: end,
    });
    await put('sign_in_flows', {
      id: randomUUID(),
      connection_id: connection,
      secret_hash: hash(),
      browser_hash: hash(),
      sealed: 'x',
      expires_at: end,
    });
    await put('used_assertions', { connection_id: connection, id_hash: hash(), expires_at: end });
    await put('spent_challenges', { challenge_hash: hash(), expires_at: end });
    await put('pending_sign_ins', {
      id: randomUUID(),
      user_id: userId,
      secret_hash: hash(),
      epoch: 0,
      context: '{}',
      expires_at: end,
    });
    await put('authorization_codes', {
      id: randomUUID(),
      session_id: session,
      secret_hash: hash(),
      redirect_uri: 'https://app.example/back',
      code_challenge: randomBytes(32).toString('base64url'),
      expires_at: new Date(endMs - 24 * HOUR_MS),
    });
    await put('refresh_tokens', { id: randomUUID(), session_id: session, secret_hash: hash(), created_at: start });
    await put('sign_in_attempts', {
      subject: randomUUID(),
      failures: 1,
      last_failed_at: new Date(endMs - HOUR_MS),
    });
  }

  async function counts(tenant: TestTenant): Promise<(readonly [string, number])[]> {
    return Promise.all(
      TABLES.map(async (table) => {
        const text = `select count(*)::int as count from ${table} where tenant_id = $1`;
        const [row] = await world.peek<{ count: number }>(tenant.cell, text, [uuidOf('tnt', tenant.id)]);
        return [table, row?.count ?? 0] as const;
      }),
    );
  }

  beforeEach(async () => {
    for (const cell of ['eu-1', 'us-1'] as const) await world.peek(cell, `truncate ${TABLES.join(', ')}`);
  });

  it('goes in every table, of every tenant of the cell and of no other cell; what lives stays', async () => {
    for (const tenant of [world.acme, world.initech, world.globex]) {
      await plant(tenant, start.getTime() - 1);
      await plant(tenant, start.getTime() + 1);
    }
    await turnAt(0);
    expect(await counts(world.acme)).toEqual(EACH_ONE);
    expect(await counts(world.initech)).toEqual(EACH_ONE);
    expect(await counts(world.globex)).toEqual(TABLES.map((table) => [table, 2]));
    await turnAt(1);
    expect(await counts(world.acme)).toEqual(TABLES.map((table) => [table, 0]));
  });

  it('of another tenant is out of reach under the context of the first', async () => {
    await plant(world.acme, start.getTime() - 1);
    await plant(world.initech, start.getTime() - 1);
    const purpose = { name: 'test', requestId: mintId('req') };
    const ctx = requestContext(worker, await systemContext(worker.databases, world.acme.id, purpose));
    expect(await deleteExpired(ctx)).toBe(TABLES.length);
    expect(await counts(world.initech)).toEqual(EACH_ONE);
  });

  it('goes with a session that was ended early, and for an account a day after its last failure', async () => {
    await plant(world.acme, start.getTime() + 9 * HOUR_MS);
    await world.peek('eu-1', 'update credentials set revoked_at = $1 where kind = $2', [start, 'session']);
    const userId = uuidOf('usr', world.acme.adminId);
    const text =
      'insert into sign_in_attempts (tenant_id, subject, user_id, failures, last_failed_at) values ($1, $2::uuid, $2::uuid, 1, $3)';
    await world.peek('eu-1', text, [uuidOf('tnt', world.acme.id), userId, new Date(start.getTime() - 23 * HOUR_MS)]);
    await turnAt(0.5);
    const kept = new Map(await counts(world.acme));
    expect([kept.get('refresh_tokens'), kept.get('authorization_codes'), kept.get('sign_in_attempts')]).toEqual([
      0, 1, 2,
    ]);
    await turnAt(1.1);
    expect(new Map(await counts(world.acme)).get('sign_in_attempts')).toBe(1);
  });

  it('goes however much there is of it', async () => {
    const text = `insert into spent_challenges (tenant_id, challenge_hash, expires_at)
      select $1, sha256(convert_to(n::text, 'UTF8')), $2 from generate_series(1, 1201) n`;
    await world.peek('eu-1', text, [uuidOf('tnt', world.acme.id), new Date(start.getTime() - 1)]);
    await turnAt(0);
    expect(new Map(await counts(world.acme)).get('spent_challenges')).toBe(0);
  });
});
