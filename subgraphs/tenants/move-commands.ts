import { setTimeout as sleep } from 'node:timers/promises';
import { UsageError, type Command, type CommandSurroundings } from '#kit/command.ts';
import type { Databases } from '#kit/database.ts';
import { findTenantBySlug } from '#kit/directory.ts';
import { fail } from '#schema/errors.ts';
import { PLACEMENTS } from '#schema/tenant-store.ts';
import type { TenantMove } from './move-model.ts';
import { findMove, orderMove } from './moves.ts';

/** How often a move is looked at while somebody waits for it. */
const LOOKED_MS = 500;

/** Moves a tenant to another cell or store. */
export const moveCommand: Command = {
  name: 'tenant move',
  about:
    'Moves a tenant to another cell, or into a silo and out of it, while she works; ends with 1 where the move was called off.',
  positionals: ['<slug>'],
  options: {
    to: { about: 'The cell that she is to live in; by default where she does' },
    placement: { about: 'How her rows are to lie there: pool (by default) or silo' },
    reason: { about: 'Why, for the books', required: true },
    detach: { about: 'Does not wait for its end', flag: true },
  },
  run: async (surroundings, { positionals: [slug = ''], options }) => {
    const { databases, clock } = await surroundings.platform();
    const tenant = await findTenantBySlug(databases, slug);
    if (tenant === null)
      return fail('NOT_FOUND', `no tenant has the slug ${slug}`, { hint: `No tenant has the slug ${slug}.` });
    const { to: cell = tenant.cell, reason = '' } = options;
    const placement = PLACEMENTS.find((known) => known === (options['placement'] ?? 'pool'));
    if (placement === undefined) throw new UsageError(`--placement takes ${PLACEMENTS.join(', ')}`);
    const order = { tenant, cell, placement, reason, requestedBy: 'tenon', now: clock() };
    const asked = await orderMove(databases, order);
    const move = options['detach'] === undefined ? await untilEnd(surroundings, databases, asked) : asked;
    if (surroundings.json) surroundings.write(JSON.stringify(move, null, 2));
    else surroundings.write(sentenceOf(move));
    return move.phase === 'cancelled' ? 1 : 0;
  },
};

async function untilEnd(
  { json, write }: CommandSurroundings,
  databases: Databases,
  asked: TenantMove,
): Promise<TenantMove> {
  let shown = '';
  for (let move: TenantMove | null = asked; move !== null; move = await findMove(databases, asked.id)) {
    if (move.endedAt !== null) return move;
    const line = sentenceOf(move);
    if (!json && line !== shown) write(line);
    shown = line;
    await sleep(LOOKED_MS);
  }
  return fail('NOT_FOUND', 'the move is gone');
}

function sentenceOf({ id, phase, toCell, toStore, progress: { done, total }, heldMs, obstacle }: TenantMove): string {
  if (phase === 'done') return `${id} done: she lives in the ${toStore} of ${toCell} and was held for ${heldMs} ms.`;
  const percent =
    total === null || total === 0 ? '' : `, ${Math.floor((100 * Math.min(done, total)) / total)} % copied`;
  return `${id} ${phase}${percent}${obstacle === null ? '' : ` (${obstacle})`}`;
}
