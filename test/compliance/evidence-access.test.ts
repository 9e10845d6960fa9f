import { expect, test } from 'vitest';
import { systemContext } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { recordUsage } from '../../subgraphs/billing/usage.ts';
import { Permission } from '../../subgraphs/product/model.ts';
import { createDocument, createProject, shareDocument } from '../../subgraphs/product/service.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { jsonIn, openEvidenceHouse, type Pack, type PackJson } from './evidence-fixture.ts';

const house = await openEvidenceHouse();
const { acme, initech } = house;
const EMAIL = 'grace.<b>hopper</b>@example.com';
const grace = await house.addPerson(acme, EMAIL);
const otto = await house.addPerson(acme, 'colleague@acme.example');
// The same address in the other tenant is another person.
const namesake = await house.addPerson(initech, EMAIL);
await live(acme, { user: grace, document: 'plans of grace', shareWith: 'someone@else.example' });
await live(acme, { user: otto, document: 'plans of a colleague', shareWith: EMAIL });
await live(initech, { user: namesake, document: 'plans of a namesake', shareWith: EMAIL });
await house.seal();
const pack = await house.build({ tenant: acme, kind: 'gdpr_access', subjectId: grace });

test('an access export holds what every subgraph has of the person', () => {
  expect(rowsOf(pack, 'identity.users')).toEqual([expect.objectContaining({ id: grace, email: EMAIL })]);
  expect(rowsOf(pack, 'product.documents')).toEqual([expect.objectContaining({ name: 'plans of grace' })]);
  expect(rowsOf(pack, 'product.documentShares')).toEqual([expect.objectContaining({ recipient: EMAIL })]);
  expect(rowsOf(pack, 'billing.usageEvents')).toHaveLength(1);
  const actions = rowsOf(pack, 'audit.auditEvents').map(({ action }) => action);
  expect(actions).toEqual(expect.arrayContaining(['user.create', 'document.create', 'document.share']));
});

test('it holds nothing of anybody else, neither of a colleague nor of a namesake in another tenant', () => {
  const all = [...pack.files]
    .filter(([path]) => path.startsWith('data/') || path === 'report.html')
    .map(([, text]) => text)
    .join('');
  for (const foreign of [namesake, initech, 'plans of a namesake', otto, 'colleague@acme.example'])
    expect(all).not.toContain(foreign);
  expect([...pack.files.keys()].filter((path) => path.startsWith('log/'))).toEqual([]);
});

test('each personal field comes with its category, purpose and retention from the schema', () => {
  const { fields } = jsonIn(pack, 'data/identity.users.json');
  expect(fields['email']).toMatchObject({ category: 'contact', purpose: 'reaching the person' });
  expect(jsonIn(pack, 'processing.json')).toMatchObject({
    region: 'eu',
    categories: ['activity', 'contact', 'identifier', 'name', 'network'],
    sources: [{ entries: 1 }],
  });
});

test('JSON and CSV of a store have the same rows', () => {
  const { files } = jsonIn(pack, 'manifest.json');
  const tables = files.filter(({ path }) => path.startsWith('data/') && path.endsWith('.csv'));
  expect(tables.length).toBeGreaterThan(8);
  for (const { path, rows } of tables)
    expect(rowsOf(pack, path.slice('data/'.length, -'.csv'.length))).toHaveLength(rows ?? -1);
});

test('each store has a schema, which names every field of its rows', () => {
  const stores = [...pack.files.keys()].flatMap((path) => /^data\/(.+)\.csv$/.exec(path)?.[1] ?? []);
  expect(stores.length).toBeGreaterThan(8);
  for (const store of stores) {
    const { properties } = JSON.parse(pack.files.get(`schema/${store}.json`) ?? '{}') as { properties: object };
    const fields = jsonIn(pack, `data/${store}.json`).rows.flatMap((row) => Object.keys(row));
    expect(Object.keys(properties).toSorted(), store).toEqual([...new Set(fields)].toSorted());
  }
  const users = JSON.parse(pack.files.get('schema/identity.users.json') ?? '{}') as { properties: object };
  expect(users.properties).toMatchObject({
    createdAt: { type: 'string', format: 'date-time' },
    active: { type: 'boolean' },
  });
});

test('what a person wrote is text in the report and no markup', () => {
  expect(pack.files.get('report.html')).toContain('grace.&lt;b&gt;hopper');
  expect(pack.files.get('report.html')).not.toContain('<b>hopper');
});

test('the verifier finds it whole and unchanged, and the same data give the same bytes', async () => {
  const report = await verifyTarget(pack.save(), { keys: [TEST_SIGNING_KEY.verifierKey] });
  expect([report.integrity.verdict, report.completeness.verdict]).toEqual(['pass', 'pass']);
  expect((await house.build({ tenant: acme, kind: 'gdpr_access', subjectId: grace })).sha256).toBe(pack.sha256);
});

test('a person of another tenant, nobody, and what is no id are NOT_FOUND alike', async () => {
  for (const subjectId of [namesake, mintId('usr'), 'usr_x', acme]) {
    await expect(house.build({ tenant: acme, kind: 'gdpr_access', subjectId })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  }
});

test('a person who was deleted still gets what is left of her', async () => {
  const gone = await house.addPerson(acme, 'gone@acme.example');
  await house.seal();
  const ctx = await house.contextOf(acme);
  await inTenant(ctx, (tx) => tx.query('delete from users where id = $1', [uuidOf('usr', gone)]));
  const rest = await house.build({ tenant: acme, kind: 'gdpr_access', subjectId: gone });
  expect(rowsOf(rest, 'identity.users')).toEqual([]);
  expect(rowsOf(rest, 'audit.auditEvents')).toEqual([expect.objectContaining({ action: 'user.create' })]);
});

test('a subgraph that cannot answer is named as left out, and the others are exported', async () => {
  const personalData = house.builder.personalData.map((source) =>
    source.subgraph === 'billing'
      ? { ...source, handler: { collect: () => Promise.reject(new Error('secret detail')) } }
      : source,
  );
  const partial = await house.build({ tenant: acme, kind: 'gdpr_access', subjectId: grace }, { personalData });
  const { omissions } = jsonIn(partial, 'manifest.json');
  expect(omissions).toEqual([expect.objectContaining({ what: 'data held by billing' })]);
  expect([...partial.files.values()].join('')).not.toContain('secret detail');
  expect(partial.files.get('report.html')).toContain('PARTIAL');
  expect(rowsOf(partial, 'identity.users')).toHaveLength(1);
  const report = await verifyTarget(partial.save(), { keys: [TEST_SIGNING_KEY.verifierKey] });
  expect([report.integrity.verdict, report.completeness.verdict]).toEqual(['pass', 'fail']);
});

interface Life {
  readonly user: Id<'usr'>;
  readonly document: string;
  readonly shareWith: string;
}

async function live(tenant: Id<'tnt'>, { user, document, shareWith }: Life): Promise<void> {
  const ctx = await as(tenant, user);
  const project = await createProject(ctx, { name: `project of ${document}` });
  const { id } = await createDocument(ctx, { projectId: project.id, name: document, body: 'text' });
  await shareDocument(ctx, { documentId: id, to: shareWith, permission: Permission.VIEW });
  const timestamp = new Date().toISOString();
  const item = { user_id: user, metric: 'tokens_used', value: 1, timestamp, idempotency: user };
  await recordUsage(ctx, { items: [item], nameOf: (index) => `events[${index}]` });
}

async function as(tenant: Id<'tnt'>, user: Id<'usr'>): Promise<RequestContext> {
  const system = await systemContext(house.platform.databases, tenant, { name: 'test', requestId: mintId('req') });
  return requestContext(house.platform, {
    ...system,
    actor: { type: 'user', id: user, ip: '203.0.113.9', ua: 'test' },
  });
}

function rowsOf(from: Pack, store: string): PackJson['rows'] {
  return jsonIn(from, `data/${store}.json`).rows;
}
