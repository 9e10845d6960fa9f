import { describe, expect, it } from 'vitest';
import { readArguments } from '#kit/command.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { BUILT_IN_ROLES, SCOPES, type Scope } from '#schema/scopes.ts';
import { tenants } from '../../../subgraphs/tenants/index.ts';
import { provisionTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { ask, codeOf, inputOf, openTenants, ORIGIN, requestOf } from './tenants-platform.ts';

const house = await openTenants();
const acme = await provisionTenant(house.platform, inputOf('acme', { state: 'active' }), ORIGIN);
const globex = await provisionTenant(house.platform, inputOf('globex', { state: 'active' }), ORIGIN);
const operator = await house.operator();

const FIELDS = 'id tenantId fromCell toCell phase reason isCancelling progress { done total } certificate';
const START = `mutation ($input: StartTenantMoveInput!) { startTenantMove(input: $input) { move { ${FIELDS} } } }`;
const CANCEL = `mutation ($input: CancelTenantMoveInput!) { cancelTenantMove(input: $input) { move { ${FIELDS} } } }`;
const MOVE = `query ($id: ID!) { tenantMove(id: $id) { ${FIELDS} } }`;
const MOVES = `query ($tenantId: ID) { tenantMoves(first: 10, tenantId: $tenantId) { edges { node { id } } } }`;

const asked = (tenantId: string, cell = 'us-1') => ({ input: { tenantId, cell, reason: 'nearer to her people' } });

describe('moves of tenants', () => {
  it('are asked for and called off by an operator, once, and stand in the operators’ log', async () => {
    const { data } = await ask(operator, START, asked(acme.tenant.id));
    const move = (data as { startTenantMove: { move: { id: string } } }).startTenantMove.move;
    expect(move).toMatchObject({ tenantId: acme.tenant.id, fromCell: 'eu-1', toCell: 'us-1', phase: 'REQUESTED' });
    expect(codeOf(await ask(operator, START, asked(acme.tenant.id)))).toBe('CONFLICT');
    expect((await ask(operator, MOVE, { id: move.id })).data).toEqual({ tenantMove: move });
    expect((await ask(operator, MOVES, { tenantId: globex.tenant.id })).data).toMatchObject({
      tenantMoves: { edges: [] },
    });
    expect((await ask(operator, MOVES)).data).toMatchObject({ tenantMoves: { edges: [{ node: { id: move.id } }] } });
    const cancelled = await ask(operator, CANCEL, { input: { id: move.id } });
    expect(cancelled.data).toMatchObject({ cancelTenantMove: { move: { isCancelling: true } } });
    expect(codeOf(await ask(operator, CANCEL, { input: { id: move.id } }))).toBeNull();
    const events = await house.events(operator.tenant.tenant);
    expect(events.slice(-3).map(({ action, context }) => [action, context['move'] ?? null])).toEqual([
      ['tenant.start_move', move.id],
      ['tenant.cancel_move', move.id],
      ['mutation.unchanged', null],
    ]);
  });

  it('are refused where there is nothing to do, no such place, or no way back', async () => {
    const code = async (input: ReturnType<typeof asked>) => codeOf(await ask(operator, START, input));
    expect(await code(asked(globex.tenant.id, 'eu-1'))).toBe('INVALID_TRANSITION');
    expect(await code(asked(globex.tenant.id, 'mars-1'))).toBe('BAD_USER_INPUT');
    expect(await code(asked(mintId('tnt')))).toBe('NOT_FOUND');
    expect(codeOf(await ask(operator, CANCEL, { input: { id: mintId('mov') } }))).toBe('NOT_FOUND');
    const { data } = await ask(operator, START, asked(globex.tenant.id));
    const { id } = (data as { startTenantMove: { move: { id: string } } }).startTenantMove.move;
    await house.peek('directory', `update tenant_moves set phase = 'removing' where id = $1`, [uuidOf('mov', id)]);
    expect(codeOf(await ask(operator, CANCEL, { input: { id } }))).toBe('INVALID_TRANSITION');
    await house.peek('directory', `update tenant_moves set phase = 'done', ended_at = now() where id = $1`, [
      uuidOf('mov', id),
    ]);
  });

  it.each(['admin', 'member', 'auditor', 'everything'] as const)(
    'are none of the business of a tenant’s %s',
    async (role) => {
      const scopes = role === 'everything' ? (Object.keys(SCOPES) as Scope[]) : BUILT_IN_ROLES[role];
      const ctx = requestOf(house.platform, acme.context, { scopes });
      for (const [document, variables] of [
        [START, asked(acme.tenant.id)],
        [CANCEL, { input: { id: mintId('mov') } }],
        [MOVE, { id: mintId('mov') }],
        [MOVES, {}],
      ] as const)
        expect(codeOf(await ask(ctx, document, variables))).toBe('FORBIDDEN');
    },
  );

  it('are asked for on the command line, which says what was asked for', async () => {
    const command = tenants.commands?.find(({ name }) => name === 'tenant move');
    if (command === undefined) throw new Error('no such command');
    const lines: string[] = [];
    const surroundings = {
      platform: async () => house.platform,
      write: (line: string) => void lines.push(line),
      json: true,
    };
    const argv = ['globex', '--to', 'us-1', '--reason', 'test', '--detach'];
    expect(await command.run(surroundings, readArguments(command, argv))).toBe(0);
    expect(JSON.parse(lines.join('\n'))).toMatchObject({
      tenantId: globex.tenant.id,
      toCell: 'us-1',
      phase: 'requested',
    });
    await expect(command.run(surroundings, readArguments(command, argv.with(0, 'nobody')))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});
