import { describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import { collectPersonalData } from '../../../subgraphs/audit/personal-data.ts';
import { requestEvidence } from '../../../subgraphs/audit/evidence.ts';
import { openAudit } from './audit-platform.ts';

const house = await openAudit();
const { ctx, log } = await house.addTenant('acme');
const [ada, eve] = [mintId('usr'), mintId('usr')];
const WINDOW = { from: new Date('2026-01-01T00:00:00Z'), to: new Date('2026-02-01T00:00:00Z') };

await log.append([
  { action: 'session.start', actor: { type: 'user', id: ada, ip: '203.0.113.1', ua: 'hers' } },
  {
    action: 'user.deactivate',
    actor: { type: 'user', id: eve, ip: '203.0.113.2', ua: 'of another' },
    resource: { type: 'user', id: ada },
  },
  { action: 'document.share', actor: { type: 'user', id: eve }, context: { to: 'Ada@acme.example' } },
  { action: 'document.share', actor: { type: 'user', id: eve }, context: { to: 'grenada@acme.example' } },
  ...Array.from({ length: 1100 }, () => ({ actor: { type: 'user' as const, id: eve } })),
  { action: 'role.grant', actor: { type: 'user', id: eve }, context: { user: ada } },
  { action: 'session.end', actor: { type: 'user', id: ada } },
]);
const pack = await requestEvidence(ctx, { kind: 'gdpr_access', subject: ada, ...WINDOW });

describe('what the log holds of a person', () => {
  it("is what she did, what was done to her and what names her, without others' network data", async () => {
    const [events, packs] = await collectPersonalData(ctx, { userId: ada, email: 'ada@acme.example' });
    expect(events?.store).toBe('audit.auditEvents');
    expect(events?.rows.map(({ action }) => action)).toEqual([
      'session.start',
      'user.deactivate',
      'document.share',
      'role.grant',
      'session.end',
    ]);
    expect(events?.rows.map(({ actor }) => actor)).toEqual([
      { type: 'user', id: ada, ip: '203.0.113.1', ua: 'hers' },
      { type: 'user' },
      { type: 'user' },
      { type: 'user' },
      { type: 'user', id: ada, ip: null, ua: null },
    ]);
    expect(packs).toEqual({
      store: 'audit.evidencePacks',
      rows: [
        {
          id: pack.id,
          kind: 'gdpr_access',
          state: 'requested',
          requestedAt: '2026-05-04T12:00:00.000Z',
          isSubject: true,
        },
      ],
    });
  });

  it('is nothing for a person without traces, and nothing of another tenant', async () => {
    const empty = [
      { store: 'audit.auditEvents', rows: [] },
      { store: 'audit.evidencePacks', rows: [] },
      { store: 'audit.auditViews', rows: [] },
      { store: 'audit.privacyRequests', rows: [] },
    ];
    expect(await collectPersonalData(ctx, { userId: mintId('usr'), email: null })).toEqual(empty);
    const { ctx: stranger } = await house.addTenant('stranger');
    expect(await collectPersonalData(stranger, { userId: ada, email: 'ada@acme.example' })).toEqual(empty);
  });
});
