import { beforeAll, describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { exportedTables, isSecretColumn } from '../../compliance/evidence/tenant-tables.ts';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { withClient } from '../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { openEvidenceHouse, type EvidenceHouse, type Pack } from './evidence-fixture.ts';

/** What an export leaves out: secrets and their hashes. Whatever is added to a table shows here. */
const LEFT_OUT = [
  'audit_streams.sealed_secret',
  'authorization_codes.code_challenge',
  'authorization_codes.secret_hash',
  'credentials.secret_hash',
  'domain_proofs.token',
  'identity_connections.secret',
  'jobs.token',
  'pending_sign_ins.secret_hash',
  'recovery_codes.code_hash',
  'refresh_tokens.secret_hash',
  'security_event_receivers.sealed_authorization',
  'sign_in_factors.credential_id',
  'sign_in_factors.public_key',
  'sign_in_factors.sealed_seed',
  'sign_in_flows.browser_hash',
  'sign_in_flows.sealed',
  'sign_in_flows.secret_hash',
  'spent_challenges.challenge_hash',
  'subject_keys.wrapped',
  'tenant_keys.wrapped',
  'usage_events.fingerprint',
  'used_assertions.id_hash',
];

let house: EvidenceHouse;
let pack: Pack;
let person: Id<'usr'>;

beforeAll(async () => {
  house = await openEvidenceHouse();
  person = await house.addPerson(house.acme, '=cmd@acme.example');
  await house.addPerson(house.initech, 'foreign@initech.example');
  const ctx = await house.contextOf(house.acme);
  // More than one page.
  await inTenant(ctx, (tx) =>
    tx.query(
      `insert into projects (id, name) select gen_random_uuid(), 'project ' || n from generate_series(1, 2500) n`,
    ),
  );
  await house.seal();
  pack = await house.build({ tenant: house.acme, kind: 'tenant_export' });
});

describe('the export of a whole tenant', () => {
  it('holds every table of hers with a schema, whole, and nothing of another tenant', async () => {
    const tables = await exportedTables(await house.contextOf(house.acme));
    expect(tables.length).toBeGreaterThan(30);
    for (const { name } of tables)
      for (const path of [`data/${name}.csv`, `data/${name}.ndjson`, `schema/${name}.json`])
        expect(pack.files.has(path), path).toBe(true);
    const projects = linesOf('data/projects.ndjson');
    expect(new Set(projects.map(({ name }) => name)).size).toBe(2500);
    const users = linesOf('data/users.ndjson').map(({ user_name: name }) => name);
    expect(users).toContain('=cmd@acme.example');
    for (const text of pack.files.values()) expect(text.includes('foreign@initech.example')).toBe(false);
  });

  it('describes each line by its schema, and disarms formulas', () => {
    const schema = JSON.parse(pack.files.get('schema/users.json') ?? '{}') as {
      readonly required: string[];
      readonly properties: Readonly<Record<string, unknown>>;
    };
    const row = linesOf('data/users.ndjson').find(({ id }) => id === uuidOf('usr', person));
    expect(Object.keys(row ?? {}).toSorted()).toEqual(schema.required.toSorted());
    expect(schema.properties['created_at']).toEqual({ type: 'string', format: 'date-time' });
    expect(pack.files.get('data/users.csv')).toContain(`'=cmd@acme.example`);
  });

  it('leaves out secrets, as they are listed here', async () => {
    const { rows } = await withClient(house.stores.url('eu-1'), (client) =>
      client.query<{ table: string; name: string; type: string }>(
        `select table_name as table, column_name as name, data_type as type from information_schema.columns
          where table_schema = 'app' order by 1, 2`,
      ),
    );
    const secret = rows.filter(isSecretColumn).map(({ table, name }) => `${table}.${name}`);
    expect(secret).toEqual(LEFT_OUT);
  });

  it('carries the whole log, and is verified offline', async () => {
    const report = await verifyTarget(pack.save(), { keys: [TEST_SIGNING_KEY.verifierKey] });
    expect(report).toMatchObject({ integrity: { verdict: 'pass' }, completeness: { verdict: 'pass' } });
  });
});

function linesOf(path: string): Record<string, unknown>[] {
  return (pack.files.get(path) ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
