import type { Route } from '#kit/route.ts';
import { ENDPOINTS } from '../../subgraphs/identity/scim/endpoints.ts';
import type { Chance, FrontRequest, Sender } from './random-requests.ts';

type Draft = Omit<FrontRequest, 'sent' | 'headers'> & { readonly headers?: Readonly<Record<string, string>> };

const SCIM_TYPE = { 'content-type': 'application/scim+json' };
const JSON_TYPE = { 'content-type': 'application/json' };
const MESSAGES = 'urn:ietf:params:scim:api:messages:2.0';
const CORE = 'urn:ietf:params:scim:schemas:core:2.0';

/** Returns a request to SCIM 2.0 that names something foreign: by address, filter, path, value, cursor or in bulk. */
export function randomScim(sender: Sender, chance: Chance, isWrite: boolean): Draft {
  const { path } = chance.of(ENDPOINTS);
  const base = `/scim/v2${path}`;
  const prefix = path === '/Users' ? 'user' : 'group';
  const id = () => sender.id(prefix, '');
  if (!isWrite) return scimRead(base, id, { sender, chance });
  const etag: Record<string, string> = chance.is(0.2) ? { 'if-match': 'W/"1"' } : {};
  const headers = { ...SCIM_TYPE, ...etag };
  const body = (value: object) => JSON.stringify(value);
  return chance.of([
    () => ({ name: `DELETE ${base}`, method: 'DELETE', path: `${base}/${id()}`, headers: etag, body: null }),
    () => ({
      name: `PUT ${base}`,
      method: 'PUT',
      path: `${base}/${id()}`,
      headers,
      body: body(resource(path, sender)),
    }),
    () => ({ name: `POST ${base}`, method: 'POST', path: base, headers, body: body(resource(path, sender, true)) }),
    () => ({
      name: `PATCH ${base}`,
      method: 'PATCH',
      path: `${base}/${id()}`,
      headers,
      body: body(patch(sender, chance)),
    }),
    () => ({
      name: 'POST /Bulk',
      method: 'POST',
      path: '/scim/v2/Bulk',
      headers,
      body: body({
        schemas: [`${MESSAGES}:BulkRequest`],
        Operations: [
          { method: 'DELETE', path: `${path}/${id()}` },
          { method: 'PATCH', path: `${path}/${id()}`, data: patch(sender, chance) },
          { method: 'PUT', path: `${path}/${id()}`, data: resource(path, sender) },
        ],
      }),
    }),
  ])();
}

function scimRead(base: string, id: () => string, { sender, chance }: { sender: Sender; chance: Chance }): Draft {
  const filter = filterOf(sender, chance);
  const query = `filter=${encodeURIComponent(filter)}`;
  return chance.of([
    () => ({ name: `GET ${base}/:id`, method: 'GET', path: `${base}/${id()}`, body: null }),
    () => ({ name: `GET ${base}/:id`, method: 'GET', path: `${base}/${id()}?attributes=userName,members`, body: null }),
    () => ({ name: `GET ${base}?filter`, method: 'GET', path: `${base}?${query}`, body: null }),
    () => ({ name: 'GET /scim/v2?filter', method: 'GET', path: `/scim/v2?${query}&count=50`, body: null }),
    () => ({
      name: `GET ${base}?cursor`,
      method: 'GET',
      path: `${base}?cursor=${encodeURIComponent(sender.cursor())}&count=5`,
      body: null,
    }),
    () => ({
      name: `POST ${base}/.search`,
      method: 'POST',
      path: `${base}/.search`,
      headers: SCIM_TYPE,
      body: JSON.stringify({ schemas: [`${MESSAGES}:SearchRequest`], filter, sortBy: 'id', count: 20 }),
    }),
  ])();
}

function filterOf(sender: Sender, chance: Chance): string {
  const operator = chance.of(['eq', 'co', 'sw', 'ne', 'gt']);
  const parts = [
    () => `id ${operator} "${sender.id('user', '')}"`,
    () => `userName ${operator} "${sender.text()}"`,
    () => `displayName ${operator} "${sender.text()}"`,
    () => `emails.value ${operator} "${sender.text()}"`,
    () => `externalId eq "${sender.text()}"`,
    () => `members.value eq "${sender.id('user', '')}"`,
    () => `members[value eq "${sender.id('group', '')}"]`,
    () => `groups.value eq "${sender.id('group', '')}"`,
  ];
  const one = chance.of(parts)();
  return chance.is(0.3) ? `${one} ${chance.of(['or', 'and'])} not (${chance.of(parts)()})` : one;
}

function resource(path: string, sender: Sender, isNew = false): object {
  if (path === '/Groups') {
    const members = isNew ? [] : [{ value: sender.id('user', '') }];
    return { schemas: [`${CORE}:Group`], displayName: sender.text(), externalId: sender.text(), members };
  }
  const name = sender.text();
  return { schemas: [`${CORE}:User`], userName: name, externalId: sender.text(), active: true };
}

function patch(sender: Sender, chance: Chance): object {
  const operation = chance.of([
    () => ({ op: 'add', path: 'members', value: [{ value: sender.id('user', '') }] }),
    () => ({ op: 'remove', path: `members[value eq "${sender.id('user', '')}"]` }),
    () => ({ op: 'replace', path: 'displayName', value: sender.text() }),
    () => ({ op: 'replace', path: `emails[value eq "${sender.text()}"].type`, value: 'work' }),
    () => ({ op: 'replace', value: { active: false, externalId: sender.text() } }),
  ]);
  return { schemas: [`${MESSAGES}:PatchOp`], Operations: [operation()] };
}

/** Returns a request to a REST door of the subgraphs, with foreign ids in its address and query. */
export function randomRest(routes: readonly Route[], sender: Sender, chance: Chance): Draft {
  const { method, path } = chance.of(routes);
  const filled = path.replaceAll(/:(\w+)/g, (_, name: string) => sender.id(name === 'id' ? idKindOf(path) : name, ''));
  const query = chance.is(0.5) ? queryOf(sender, chance) : '';
  const body = method === 'GET' ? null : JSON.stringify(bodyOf(path, sender));
  const name = `${method} ${path}`;
  return { name, method, path: `${filled}${query}`, headers: body === null ? {} : JSON_TYPE, body };
}

function idKindOf(path: string): string {
  if (path.includes('invoices')) return 'invoice';
  if (path.includes('erasures')) return 'erasure';
  return path.includes('evidence') ? 'evidencePack' : 'auditEvent';
}

function queryOf(sender: Sender, chance: Chance): string {
  const [name, value] = chance.of([
    () => ['actorId', sender.id('user', '')],
    () => ['resourceId', sender.id('project', '')],
    () => ['text', sender.text()],
    () => ['after', sender.cursor()],
    () => ['view', sender.id('view', '')],
    () => ['state', sender.text()],
    () => ['tenant', sender.id('tenant', '')],
    () => ['email', sender.text()],
  ])() as [string, string];
  return `?${name}=${encodeURIComponent(value)}`;
}

/** Bodies of the doors that take one; the same thing is asked twice of none of them. */
function bodyOf(path: string, sender: Sender): object {
  if (path !== '/v1/usage') return { subject: sender.id('user', ''), kind: 'gdpr_access' };
  const event = { metric: 'api_calls', value: '1', timestamp: new Date().toISOString() };
  return [{ ...event, idempotency: sender.text(), userId: sender.id('user', '') }];
}
