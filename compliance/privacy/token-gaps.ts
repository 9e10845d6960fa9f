import type pg from 'pg';
import { systemContext } from '#kit/credential.ts';
import { inTenantOnce } from '#kit/database.ts';
import { openEvents, tokensOf } from '#kit/personal-values.ts';
import { requestContext, type Platform } from '#kit/request-context.ts';
import { parseEntry } from '#schema/audit-event.ts';
import { idOf, mintId } from '#schema/ids.ts';
import { recordPrivacy, TOKEN_BLOCK_SIZE } from './index-tokens.ts';

/** A block of entries that came back from the archive without the tokens of its sealed values. */
export interface TokenGap {
  readonly tenant_id: string;
  readonly epoch: number;
  readonly block: number;
}

/** Returns blocks without tokens, tenant by tenant. */
export async function tokenGaps(audit: pg.ClientBase, limit: number): Promise<TokenGap[]> {
  const { rows } = await audit.query<TokenGap>(
    'select tenant_id, epoch, block from log_token_gaps order by tenant_id, epoch, block limit $1',
    [limit],
  );
  return rows;
}

interface GapRow {
  readonly seq: string;
  readonly leaf: Buffer;
  readonly entry: string;
}

/**
 * Makes the tokens of a block again, in the caller's transaction, from the values that still can be opened: of a person
 * who was erased there are none. The block is then no gap any more.
 */
export async function closeGap(audit: pg.ClientBase, platform: Platform, gap: TokenGap): Promise<void> {
  const tenant = idOf('tnt', gap.tenant_id);
  await audit.query('select from log_heads where tenant_id = $1 for update', [gap.tenant_id]);
  const { rows } = await audit.query<GapRow>(
    `select seq, leaf, entry from log_entries where tenant_id = $1 and epoch = $2 and seq >= $3 and seq < $4 order by seq`,
    [gap.tenant_id, gap.epoch, gap.block * TOKEN_BLOCK_SIZE, (gap.block + 1) * TOKEN_BLOCK_SIZE],
  );
  const purpose = { name: 'search', requestId: mintId('req') };
  const ctx = requestContext(platform, await systemContext(platform.databases, tenant, purpose));
  const { personalKeys } = platform.databases;
  const index = await inTenantOnce(ctx, (tx) => personalKeys.indexKey(tx, tenant));
  const events = rows.map(({ entry }) => parseEntry(Buffer.from(entry)).event);
  const opened = index === null ? [] : await openEvents(ctx, events);
  await recordPrivacy(
    audit,
    rows.flatMap(({ seq, leaf }, at) => {
      const [event, open] = [events[at], opened[at]];
      if (index === null || event === undefined || open === undefined) return [];
      const place = { tenantId: gap.tenant_id, epoch: gap.epoch, seq: Number(seq), leaf };
      return [{ ...place, event: null, indexTokens: tokensOf(index, event, open) }];
    }),
  );
  await audit.query('delete from log_token_gaps where tenant_id = $1 and epoch = $2 and block = $3', [
    gap.tenant_id,
    gap.epoch,
    gap.block,
  ]);
}
