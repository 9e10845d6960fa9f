import { randomInt } from 'node:crypto';
import { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiSchemaOf } from '#kit/api-schema.ts';
import { compose } from '#kit/composition.ts';
import { permissionsOf } from '#kit/permission.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { sha256Hex } from '#schema/operation-id.ts';
import { BUILT_IN_ROLES } from '#schema/scopes.ts';
import { subgraphs } from '#subgraphs';
import { parse } from 'graphql';
import { openHouse, type House } from '../support/house.ts';
import { letRun, partnerKey } from '../support/partner.ts';
import { withClient } from '../support/postgres.ts';
import { harvest, MARK, ofNothing, PUBLIC_ID, rowsOf, type ForeignValues } from './foreign-values.ts';
import { fillNeighbour, haunt, liftLimits, OWN_QUERIES } from './front-door-world.ts';
import { randomRest, randomScim } from './random-rest.ts';
import {
  chanceOf,
  randomOperation,
  randomVariables,
  rootFields,
  senderOf,
  type FrontRequest,
  type RandomOperation,
  type Sender,
} from './random-requests.ts';

/** How many requests are sent; the full run of docs/isolation.md sets more. */
const REQUESTS = Number(process.env['TENON_ISOLATION_REQUESTS'] ?? 3_000);
const SEED = Number(process.env['TENON_ISOLATION_SEED'] ?? randomInt(2 ** 31));
/** Requests under way at once, over as few connections. */
const LANES = 6;

const SDL = compose(subgraphs);
const { schema } = apiSchemaOf(SDL);
const { fields: scopeOf } = permissionsOf(parse(SDL));

/** Those who ask, as tenant A, and the rights they have. */
type Asker = 'admin' | 'member' | 'auditor' | 'scim' | 'partner';
const SCOPES: Readonly<Record<Asker, readonly string[]>> = {
  admin: BUILT_IN_ROLES.admin,
  member: BUILT_IN_ROLES.member,
  auditor: BUILT_IN_ROLES.auditor,
  scim: ['scim'],
  partner: ['projects:read', 'users:read', 'billing:read', 'usage:write', 'audit:read'],
};
/** They would end the session that asks, narrow its budget, or need somebody outside to answer. */
const UNSENT =
  /^(?:signOut|cancelTenant|changeSignInPolicy|setClientLimits|renewRecoveryCodes|changeTier|registerOperations)$/;

let house: House;
let pool: Pool;
let partner: string;
let foreign: ForeignValues;
let ghost: string;
let operations: readonly { readonly asker: Asker; readonly operation: RandomOperation }[];
const chance = chanceOf(SEED);

beforeAll(async () => {
  house = await openHouse();
  pool = new Pool(house.url, { connections: LANES, pipelining: 1 });
  await liftLimits(house);
  const answers = await fillNeighbour(house, 'initech');
  for (const query of OWN_QUERIES)
    for (const [id] of JSON.stringify((await house.graphql(house.acme.admin, query)).data).matchAll(PUBLIC_ID))
      acmeIds.add(id);
  ghost = uuidOf('tnt', mintId('tnt'));
  await withClient(house.stores.url('directory'), (client) =>
    client.query(
      `insert into app.tenants (id, slug, region, cell, tier, state) values ($1, 'ghost', 'eu', 'eu-1', 'FREE', 'active')`,
      [ghost],
    ),
  );
  for (const store of ['eu-1', 'eu-1 audit'] as const) await haunt(house.stores.url(store), { ghost, seed: SEED });
  const of = [uuidOf('tnt', house.initech.id), ghost];
  foreign = await harvest(house.stores, { of, from: ['eu-1', 'eu-1 audit'], answers });
  operations = [...makeOperations('query', 110), ...makeOperations('mutation', 0)];
  partner = await registerAll();
}, 120_000);

afterAll(() => pool.close());

describe('a tenant who puts what is of another wherever an id, a name or a cursor goes', () => {
  it(
    `is told nothing of it by any answer, not even that it is there (${REQUESTS} requests)`,
    async () => {
      const before = await neighbours();
      expect([...foreign.ids.keys()].length).toBeGreaterThan(18);
      const run = newRun();
      const startedMs = performance.now();
      const everSent = new Set<string>();
      // What she asks by SCIM stands in her own log of it from then on, where a filter by the same value finds it.
      await inLanes(run, REQUESTS * 0.5, (turn) => askTwice(run, draftRead(turn)));
      await inLanes(run, REQUESTS * 0.6, () => askTwice(run, draftScimRead()));
      await inLanes(run, REQUESTS, (turn) => askTwice(run, draftWrite(turn), everSent));
      const codes = [...run.codes].map(([status, count]) => `${status}: ${count}`).join(', ');
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
      if (REQUESTS > 3_000)
        process.stderr.write(`\n${run.sent} requests in ${seconds} s, seed ${SEED}, pairs by status ${codes}\n\n`);
      expect(run.leaks.slice(0, 3), `seed ${SEED}`).toEqual([]);
      expect(await neighbours()).toEqual(before);
      expect(run.sent).toBeGreaterThanOrEqual(REQUESTS);
      // What asks for everything that is refused at the door proves nothing.
      expect(run.codes.get(200) ?? 0).toBeGreaterThan(run.sent * 0.22);
      const reached = new Set(operations.map(({ operation }) => operation.name));
      const roots = rootFields(schema, 'query').length + rootFields(schema, 'mutation').length;
      expect(reached.size).toBeGreaterThan(roots - 12);
    },
    30_000 + REQUESTS * 40,
  );

  it('would be found out: with the wall of one table gone, the same requests find the leak', async () => {
    const set = (wall: string) =>
      withClient(house.stores.url('eu-1'), (client) =>
        client.query(`alter policy tenant_isolation on app.projects using (${wall})`),
      );
    const run = newRun();
    await set('true');
    const ofProjects = operations.filter(({ operation }) => /^Query\.projects?$/.test(operation.name));
    for (let turn = 0; turn < 20; turn += 1)
      await askTwice(run, draftOperation(chance.of(ofProjects), senderOf(foreign, chance, new Set())));
    await set('tenant_id = (select tenon.tenant_id())');
    expect(run.leaks.length).toBeGreaterThan(0);
  });
});

interface Run {
  readonly leaks: unknown[];
  readonly codes: Map<number, number>;
  sent: number;
}

function newRun(): Run {
  return { leaks: [], codes: new Map(), sent: 0 };
}

interface Draft extends FrontRequest {
  readonly token: string;
}

/** Sends the request, and the same with values of nothing; the neighbour asks something of her own between the two. */
async function askTwice(run: Run, draft: Draft, everSent?: Set<string>): Promise<void> {
  // What a change was given may stand in every later answer: it is her own by then.
  for (const value of draft.sent) everSent?.add(value);
  const nothing = new Map(draft.sent.map((value) => [value, ofNothing(value)]));
  const hit = await send(draft);
  if (chance.is(0.1)) await neighbourAsks(run);
  const miss = await send(withValues(draft, nothing));
  run.sent += 2;
  run.codes.set(hit.status, (run.codes.get(hit.status) ?? 0) + 1);
  const shown = marksIn(hit.text).filter((mark) => !saidIn(mark, draft.sent) && !saidIn(mark, everSent ?? []));
  const [left, right] = [plain(hit, draft.sent), plain(miss, [...nothing.values()])];
  // Of some things a tenant has so many at most: what she made first may have been the last.
  const isLast = !isFull(hit) && isFull(miss);
  if (shown.length > 0 || (left !== right && !isLast)) run.leaks.push({ draft, shown, left, right });
}

const isFull = ({ text }: { text: string }) => /A tenant has at most \d+/.test(text);

/** Her own traffic goes over the same connections and through the same caches. */
async function neighbourAsks(run: Run): Promise<void> {
  const query = chance.of(OWN_QUERIES);
  const { text } = await send({
    ...graphqlRequest(house.initech.admin, { query }),
    name: 'own',
    sent: [],
  });
  const own = new Set(text.match(PUBLIC_ID) ?? []);
  if ([...own].some((id) => acmeIds.has(id))) run.leaks.push({ query, text });
  run.sent += 1;
}

const acmeIds = new Set<string>();

async function send({ token, method, path, headers, body }: Draft): Promise<{ status: number; text: string }> {
  const response = await pool.request({
    method,
    path,
    headers: { ...headers, authorization: `Bearer ${token}` },
    body,
  });
  return { status: response.statusCode, text: await response.body.text() };
}

function withValues(draft: Draft, values: ReadonlyMap<string, string>): Draft {
  const exchange = (text: string) =>
    [...values].reduce(
      (said, [value, other]) =>
        said.replaceAll(value, other).replaceAll(encodeURIComponent(value), encodeURIComponent(other)),
      text,
    );
  return { ...draft, path: exchange(draft.path), body: draft.body === null ? null : exchange(draft.body) };
}

/** What the answer says, without the values that were sent, what was made by asking, and when. */
function plain({ status, text }: { status: number; text: string }, sent: readonly string[]): string {
  const named = sent.reduce(
    (said, value, at) => said.replaceAll(value, `<${at}>`).replaceAll(encodeURIComponent(value), `<${at}>`),
    text,
  );
  const numbers = new Map<string, number>();
  const number = (value: string) => `#${numbers.get(value) ?? (numbers.set(value, numbers.size), numbers.size - 1)}`;
  const said = named
    .replace(/,?"extensions":\{"cost".*$/s, '')
    .replaceAll(PUBLIC_ID, number)
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}/g, 'uuid')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z?/g, 'time')
    // Secrets and challenges are new every time; what they hide is looked for in the answer as it came.
    .replaceAll(/[\w-]{32,}/g, 'secret');
  return `${status} ${said}`;
}

function marksIn(text: string): string[] {
  const ids = (text.match(PUBLIC_ID) ?? []).filter((id) => foreignIds().has(id.slice(4)));
  return [...new Set([...ids, ...(text.match(MARK) ?? []).filter((mark) => foreignMarks().has(mark))])];
}

const saidIn = (mark: string, sent: Iterable<string>) => [...sent].some((value) => value.includes(mark.slice(-20)));

let idSet: Set<string> | undefined;
let markSet: Set<string> | undefined;
const foreignIds = () => (idSet ??= new Set([...foreign.ids.values()].flat().map((id) => id.slice(4))));
const foreignMarks = () => (markSet ??= new Set(foreign.texts.flatMap((text) => text.match(MARK) ?? [])));

function makeOperations(kind: 'query' | 'mutation', count: number) {
  const askers: readonly Asker[] = kind === 'query' ? ['admin', 'member', 'auditor', 'partner'] : ['admin'];
  const fields = rootFields(schema, kind).filter(({ name }) => !UNSENT.test(name));
  return Array.from({ length: Math.max(count, fields.length) }, (_, at) => {
    const asker = at < fields.length ? 'admin' : chance.of(askers);
    const isOpen = (type: string, field: string) => {
      const scope = scopeOf.get(`${type}.${field}`);
      return scope === undefined || SCOPES[asker].includes(scope);
    };
    const field = fields[at % fields.length];
    if (field === undefined) throw new Error('there are fields');
    return { asker, operation: randomOperation({ schema, isOpen }, { kind, field }, chance) };
  });
}

function tokenOf(asker: Asker): string {
  return asker === 'partner' ? partner : house.acme[asker];
}

function draftRead(turn: number): Draft {
  const sender = senderOf(foreign, chance, new Set());
  if (turn % 6 === 0)
    return finish(
      randomRest(restRoutes('GET'), sender, chance),
      sender,
      tokenOf(chance.of(['admin', 'auditor', 'member'] as const)),
    );
  const { asker, operation } = chance.of(operations.filter(({ operation: one }) => one.name.startsWith('Query.')));
  return draftOperation({ asker, operation }, sender);
}

function draftScimRead(): Draft {
  const sender = senderOf(foreign, chance, new Set());
  return finish(randomScim(sender, chance, false), sender, house.acme.scim);
}

const spent = new Set<string>();

function draftWrite(turn: number): Draft {
  const sender = senderOf(foreign, chance, spent);
  const pick = turn % 20;
  const draft =
    pick < 4
      ? finish(randomScim(sender, chance, true), sender, house.acme.scim)
      : pick < 5
        ? finish(randomRest(restRoutes('POST'), sender, chance), sender, house.acme.admin)
        : draftOperation(
            chance.of(operations.filter(({ operation }) => operation.name.startsWith('Mutation.'))),
            sender,
          );
  for (const value of draft.sent) spent.add(value);
  return draft;
}

function draftOperation({ asker, operation }: (typeof operations)[number], sender: Sender): Draft {
  const variables = randomVariables(operation, { sender, chance });
  const said =
    asker === 'partner'
      ? { documentId: sha256Hex(operation.document), variables }
      : { query: operation.document, variables };
  const request = graphqlRequest(tokenOf(asker), said);
  return { ...request, name: `${asker} ${operation.name}`, sent: [...sender.sent] };
}

function graphqlRequest(token: string, body: object): Omit<Draft, 'name' | 'sent'> {
  const headers = { 'content-type': 'application/json' };
  return { token, method: 'POST', path: '/graphql', headers, body: JSON.stringify(body) };
}

function finish(draft: ReturnType<typeof randomRest>, sender: Sender, token: string): Draft {
  return { ...draft, headers: draft.headers ?? {}, sent: [...sender.sent], token };
}

function restRoutes(method: 'GET' | 'POST') {
  return subgraphs
    .flatMap(({ routes }) => routes ?? [])
    .filter((route) => route.method === method && route.path.startsWith('/v1/'));
}

/** All rows of the neighbours, but for what notes when somebody was seen. */
async function neighbours(): Promise<unknown> {
  const rows = [];
  for (const store of ['eu-1', 'eu-1 audit'] as const)
    rows.push(...(await rowsOf(house.stores.url(store), [uuidOf('tnt', house.initech.id), ghost])));
  return rows
    .filter(({ table }) => !/service_levels|mutation_notes|outbox|acknowledgements/.test(table))
    .map(({ table, row }) => `${table} ${row.replace(/"(?:last_used_at|last_seen_at|updated_at)": "[^"]*"/g, '')}`);
}

async function inLanes(run: Run, count: number, work: (turn: number) => Promise<void>): Promise<void> {
  let turn = 0;
  const lane = async () => {
    while (run.sent < count) await work(turn++);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** A partner of A runs what was registered, and nothing else. */
async function registerAll(): Promise<string> {
  const client = 'isolation-partner';
  const bodies = operations.filter(({ asker }) => asker === 'partner').map(({ operation }) => operation.document);
  await letRun(house, 'acme', { client, bodies: [...new Set(bodies)] });
  return partnerKey(house, 'acme', { client, scopes: SCOPES.partner });
}
