import { afterEach, describe, expect, it, vi } from 'vitest';
import type * as Outbox from '#kit/outbox.ts';
import type { AuditNote } from '#kit/outbox.ts';
import { uuidOf } from '#schema/ids.ts';
import { openHouse } from '../support/house.ts';
import { withClient } from '../support/postgres.ts';

// A service that says something else than the catalogue: the mutation is the real one, over HTTP, and only what it
// tells the audit log is changed on the way.
const slip = vi.hoisted(() => ({ of: null as ((note: AuditNote) => AuditNote) | null }));

vi.mock('#kit/outbox.ts', async (original) => {
  const outbox = await original<typeof Outbox>();
  const appendAudit: typeof outbox.appendAudit = (tx, ctx, note) =>
    outbox.appendAudit(tx, ctx, note.action === 'project.create' ? (slip.of?.(note) ?? note) : note);
  return { ...outbox, appendAudit };
});

const house = await openHouse();

afterEach(() => {
  slip.of = null;
});

const CREATE = 'mutation ($name: String!) { createProject(input: { name: $name }) { project { id } } }';

async function rows(): Promise<{ projects: string[]; versions: number[] }> {
  const tenant = [uuidOf('tnt', house.acme.id)];
  return withClient(house.stores.url('eu-1'), async (client) => {
    const projects = await client.query<{ name: string }>(
      'select name from app.projects where tenant_id = $1 order by id',
      tenant,
    );
    const events = await client.query<{ action_version: number }>(
      'select action_version from app.outbox where tenant_id = $1 order by position',
      tenant,
    );
    return {
      projects: projects.rows.map(({ name }) => name),
      versions: events.rows.map((row) => row.action_version),
    };
  });
}

describe('a mutation whose audit event', () => {
  it.each<[string, (note: AuditNote) => AuditNote]>([
    ['has an unknown action', (note) => ({ ...note, action: 'project.invent' })],
    ['has a field that the catalogue does not know', (note) => ({ ...note, context: { color: 'red' } })],
    [
      'lacks a field',
      (note) => ({ ...note, action: 'document.create', resource: { ...note.resource, type: 'document' } }),
    ],
    [
      'has a value of another type',
      (note) => ({
        ...note,
        action: 'group.map_role',
        resource: { ...note.resource, type: 'role' },
        context: { group: 7 },
      }),
    ],
    [
      'has a context that is too large',
      (note) => ({
        ...note,
        action: 'document.share',
        resource: { ...note.resource, type: 'document' },
        context: { to: 'x'.repeat(321), permission: 'view' },
      }),
    ],
    ['is about another kind of thing', (note) => ({ ...note, resource: { ...note.resource, type: 'tenant' } })],
  ])('%s changes nothing and is told so', async (_name, change) => {
    const before = await rows();
    slip.of = change;
    const refused = await house.graphql(house.acme.member, CREATE, { name: 'Apollo' });
    expect(refused.errors?.map(({ extensions }) => extensions.code)).toEqual(['AUDIT_EVENT_REFUSED']);
    expect(JSON.stringify(refused)).not.toMatch(/xxxx|red\b/);
    expect(await rows()).toEqual(before);
  });

  it('is as the catalogue says is done and recorded, with the version of its schema', async () => {
    const before = await rows();
    const done = await house.graphql(house.acme.member, CREATE, { name: 'Gemini' });
    expect(done.errors).toBeUndefined();
    const after = await rows();
    expect(after.projects).toEqual([...before.projects, 'Gemini']);
    expect(after.versions).toEqual([...before.versions, 1]);
  });
});
