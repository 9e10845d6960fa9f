import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { actionSchemas } from '#schema/audit-actions/index.ts';
import { ask, dataOf, openAudit } from './audit-platform.ts';

const platform = await openAudit();
const { ctx } = await platform.addTenant('acme');

const QUERY = 'query ($action: String) { auditActions(action: $action) { action version about schema } }';

interface Answer {
  readonly auditActions: { action: string; version: number; about: string; schema: Record<string, unknown> }[];
}

describe('the catalogue of audit events', () => {
  it('is there for whoever reads the log, every action in every version', async () => {
    const { auditActions } = await dataOf<Answer>(ask(ctx, QUERY));
    expect(auditActions.map(({ action, version }) => `${action} ${version}`)).toEqual(
      actionSchemas().map(({ action, schema }) => `${action} ${schema.version}`),
    );
  });

  it('gives a schema that stands for itself, by which an entry of the log can be judged', async () => {
    const { auditActions } = await dataOf<Answer>(ask(ctx, QUERY, { action: 'document.share' }));
    expect(auditActions).toMatchObject([{ action: 'document.share', version: 1 }]);
    const judge = new Ajv2020({ strict: false }).compile(auditActions[0]?.schema ?? false);
    const entry = (context: object) => ({
      v: 1,
      seq: 0,
      prev: '0'.repeat(64),
      outcome: 'success',
      action_version: 1,
      event: {
        id: 'aud_01h455vb4pex5vsknk084sn02q',
        tenant_id: ctx.tenant.tenant,
        actor: { type: 'anonymous', id: null, ip: null, ua: null },
        action: 'document.share',
        resource: { type: 'document', id: 'doc_01h455vb4pex5vsknk084sn02q', name: null },
        context,
        session_id: null,
        request_id: null,
        ts: '2026-05-04T10:33:21Z',
      },
    });
    expect(judge(entry({ to: 'bob@vendor.com', permission: 'view' }))).toBe(true);
    expect(judge(entry({ to: 'bob@vendor.com', permission: 'own' }))).toBe(false);
  });

  it('has nothing of an action that there is not', async () => {
    expect(await dataOf(ask(ctx, QUERY, { action: 'nothing.known' }))).toEqual({ auditActions: [] });
  });
});
