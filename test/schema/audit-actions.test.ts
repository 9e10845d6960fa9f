import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Kind, parse } from 'graphql';
import { describe, expect, it } from 'vitest';
import { auditActions } from '#kit/audit-actions.ts';
import { compose } from '#kit/composition.ts';
import {
  actionSchemas,
  actionVersion,
  AUDIT_ACTION_PARTS,
  checkAction,
  findAction,
  type ActionParts,
} from '#schema/audit-actions/index.ts';
import { parseCanonical, type JsonValue } from '#schema/canonical-json.ts';
import { subgraphs } from '#subgraphs';

const USER = 'usr_01h455vb4pex5vsknk084sn02q';
const OTHER = 'usr_01h455vb4pex5vsknk084sn02r';
const ROOT = resolve(import.meta.dirname, '../..');
const SUPERGRAPH = compose(subgraphs);

type JsonObject = { readonly [key: string]: JsonValue };

const parts = (given: Partial<ActionParts> & { context?: JsonObject } = {}): ActionParts => ({
  actor: { type: 'user', id: USER, ip: '203.0.113.5', ua: 'Mozilla/5.0' },
  resource: { type: 'document', id: 'doc_01h455vb4pex5vsknk084sn02q', name: 'Q1 plan' },
  context: { to: 'bob@vendor.com', permission: 'view' },
  ...given,
});

const refused = (message: string) =>
  expect.objectContaining({
    code: 'AUDIT_EVENT_REFUSED',
    message: `event document.share: ${message}`,
    hint: `Audit event document.share: ${message}.`,
  });

describe('an event', () => {
  it('of the catalogue passes, and says its version and what of it is personal, and whose', () => {
    expect(checkAction('document.share', parts())).toEqual({
      version: actionVersion('document.share'),
      personal: [
        { path: 'actor.ip', subject: USER },
        { path: 'actor.ua', subject: USER },
        { path: 'context.to', subject: null },
      ],
    });
  });

  it.each<[string, Partial<ActionParts>, string]>([
    ['an unknown key', { context: { to: 'a@b.de', permission: 'view', more: 1 } }, 'context has no field more'],
    [
      'an unknown key of any text',
      { context: { to: 'a@b.de', permission: 'view', 'Bob <bob@vendor.com>': 1 } },
      'context has no field of such a name',
    ],
    [
      'a polluting key',
      { context: parseCanonical(Buffer.from('{"__proto__":{},"permission":"view","to":"a"}')) as JsonObject },
      'context has no field of such a name',
    ],
    ['a missing key', { context: { to: 'a@b.de' } }, 'context lacks permission'],
    ['another type', { context: { to: 7, permission: 'view' } }, 'context.to is no text'],
    [
      'too long a text',
      { context: { to: 'é'.repeat(321), permission: 'view' } },
      'context.to is longer than 320 characters',
    ],
    [
      'another choice',
      { context: { to: 'a', permission: 'own' } },
      'context.permission is none of view, comment, edit',
    ],
    [
      'another resource',
      { resource: { type: 'project', id: 'prj_x', name: null } },
      'resource.type is none of document',
    ],
  ])('with %s is refused, by a text that repeats no value', (_name, given, message) => {
    expect(() => checkAction('document.share', parts(given))).toThrow(refused(message));
  });

  it('takes as many characters as it says, however many bytes they are', () => {
    const context = { to: '😀'.repeat(320), permission: 'view' };
    expect(checkAction('document.share', parts({ context })).version).toBe(1);
    expect(() => checkAction('document.share', parts({ context: { ...context, to: '😀'.repeat(321) } }))).toThrow(
      refused('context.to is longer than 320 characters'),
    );
  });

  it.each(['document.burn', 'toString', '__proto__', ''])('of the unknown action "%s" is refused', (action) => {
    const unknown = expect.objectContaining({ code: 'AUDIT_EVENT_REFUSED' });
    expect(() => checkAction(action, parts())).toThrow(unknown);
    expect(() => actionVersion(action)).toThrow(unknown);
    expect(findAction(action)).toBeNull();
  });
});

describe('personal data', () => {
  const of = (action: string, given: Partial<ActionParts>) =>
    checkAction(action, parts({ actor: { type: 'system', id: 'x', ip: null, ua: null }, ...given })).personal;
  const person = { type: 'user', id: OTHER, name: 'Mia' };

  it('of the user whom an event is about is hers, whoever acts', () => {
    expect(of('sign_in.unlock', { resource: person, context: {} })).toEqual([
      { path: 'resource.name', subject: OTHER },
    ]);
  });

  it('of the user whom the context names is hers: the name of her phone', () => {
    const resource = { type: 'factor', id: 'fct_01h455vb4pex5vsknk084sn02q', name: "Mia's phone" };
    expect(of('factor.rename', { resource, context: { user: OTHER, kind: 'passkey' } })).toEqual([
      { path: 'resource.name', subject: OTHER },
    ]);
  });

  it('is not the name of a thing that is nobody’s own', () => {
    const resource = { type: 'api_key', id: 'key_01h455vb4pex5vsknk084sn02q', name: 'nightly job' };
    expect(of('api_key.create', { resource, context: { scopes: [] } })).toEqual([]);
    expect(of('api_key.create', { resource, context: { scopes: [], user: OTHER } })).toEqual([
      { path: 'resource.name', subject: OTHER },
    ]);
  });

  it('of somebody unknown, or sent by a key, is the tenant’s to seal', () => {
    const anonymous = { type: 'anonymous', id: null, ip: '203.0.113.5', ua: null } as const;
    const context = { address: '203.0.113.5', failures: 5, until: '2026-01-01T00:00:00.000Z' };
    const resource = { type: 'user', id: 'unknown', name: null };
    expect(checkAction('sign_in.lock', { actor: anonymous, resource, context }).personal).toEqual([
      { path: 'actor.ip', subject: null },
      { path: 'context.address', subject: null },
    ]);
    const known = { type: 'user', id: OTHER, name: null };
    expect(checkAction('sign_in.lock', { actor: anonymous, resource: known, context }).personal).toEqual([
      { path: 'actor.ip', subject: null },
      { path: 'context.address', subject: OTHER },
    ]);
    const key = { type: 'api_key', id: 'key_01h455vb4pex5vsknk084sn02q', ip: null, ua: 'curl' } as const;
    expect(checkAction('document.share', parts({ actor: key })).personal[0]).toEqual({
      path: 'actor.ua',
      subject: null,
    });
  });

  it('is marked wherever a user has a name, and wherever a field is called like an address', () => {
    for (const { action, schema } of actionSchemas()) {
      // Those whose name is never written are plain: their calls say null.
      if (schema.resource.includes('user') && schema.resourceName === 'plain')
        expect(NAMELESS, action).toContain(action);
      for (const [name, field] of Object.entries(schema.context)) {
        if (field.type === 'text' && /^(?:to|address|e?mail|ip|ua|user_?name|display_?name|phone|device)$/.test(name))
          expect(field.personal, `${action} ${name}`).toBeDefined();
      }
    }
  });

  it('has a subject that the action has', () => {
    for (const { action, schema } of actionSchemas()) {
      const subjects = [schema.resourceName, ...Object.values(schema.context).map(({ personal }) => personal)];
      for (const subject of subjects) {
        if (!subject?.startsWith('context.')) continue;
        expect(schema.context[subject.slice('context.'.length)], action).toMatchObject({
          type: 'id',
          prefixes: ['usr'],
        });
      }
    }
  });
});

/** Actions about a user whose calls give her no name. */
const NAMELESS = [
  'access.revocation_enforced',
  'break_glass.use',
  'identity.link',
  'recovery_code.use',
  'recovery_codes.create',
  'sign_in.lock',
  'sign_in.refuse',
  'subject.erased',
  'user.sign_out',
  'user.sync_groups',
];

describe('the catalogue', () => {
  const sources = ['subgraphs', 'gateway', 'compliance', 'schema'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.startsWith('audit-actions'))
      .map((file) => readFileSync(join(ROOT, folder, file), 'utf8')),
  );

  it('has no action that nothing writes', () => {
    const text = sources.join('\n');
    const written = (action: string) => text.includes(`'${action}'`) || text.includes(`"${action}"`);
    expect(actionSchemas().flatMap(({ action }) => (written(action) ? [] : [action]))).toEqual([]);
  });

  it('has every action that code names', () => {
    const named = sources.flatMap((text) => [...text.matchAll(/\baction: '([a-z_]+\.[a-z_.]+)'/g)]);
    expect(named.length).toBeGreaterThan(50);
    expect(new Set(named.map(([, action = '']) => action).filter((action) => findAction(action) === null))).toEqual(
      new Set(),
    );
  });

  it('has every action of the graph, or the supergraph is not composed', () => {
    expect(auditActions(SUPERGRAPH).filter(({ action }) => findAction(action) === null)).toEqual([]);
    const [first, ...others] = subgraphs;
    if (first === undefined) throw new Error('there are subgraphs');
    const sdl = first.sdl.replace(/@audit\(action: "[^"]*"\)/, '@audit(action: "nothing.known")');
    expect(() => compose([{ ...first, sdl }, ...others])).toThrow(/is audited as nothing\.known, which is not in/);
  });

  it('names every action once', () => {
    const names = Object.values(AUDIT_ACTION_PARTS).flatMap((rows) => Object.keys(rows));
    expect(new Set(names).size).toBe(names.length);
  });

  it('numbers versions from the newest downwards', () => {
    for (const { action } of actionSchemas()) {
      const { earlier = [], version } = findAction(action) ?? { version: 0 };
      expect([version, ...earlier.map((schema) => schema.version)], action).toEqual(
        Array.from({ length: earlier.length + 1 }, (_, index) => earlier.length + 1 - index),
      );
    }
  });

  it.each([
    ['ScimProfile', 'scim_connection.create', 'profile'],
    ['ScimConnectionState', 'scim_connection.create', 'state'],
    ['SecurityEventReceiverKind', 'security_event_receiver.create', 'kind'],
    ['SecurityEventReceiverState', 'security_event_receiver.update', 'state'],
    ['ConnectionKind', 'identity_connection.create', 'kind'],
    ['FactorKind', 'factor.create', 'kind'],
    ['RevocationReason', 'access.revocation_enforced', 'reason'],
    ['EvidenceKind', 'evidence.request', 'kind'],
    ['Permission', 'document.share', 'permission'],
    ['ScimResourceType', 'scim_extension.register', 'resource_type'],
  ])('takes every value of %s that %s can have', (type, action, field) => {
    const definition = parse(SUPERGRAPH).definitions.find(
      (node) => node.kind === Kind.ENUM_TYPE_DEFINITION && node.name.value === type,
    );
    const values = definition?.kind === Kind.ENUM_TYPE_DEFINITION ? (definition.values ?? []) : [];
    expect(values.length).toBeGreaterThan(0);
    const known = findAction(action)?.context[field];
    const taken = known?.type === 'choice' ? known.values.map((value) => value.toUpperCase()) : [];
    expect(taken).toEqual(expect.arrayContaining(values.map(({ name }) => name.value.toUpperCase())));
  });
});
