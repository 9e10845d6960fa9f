import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Field, Fields, FieldType } from '#schema/audit-actions/field.ts';
import { actionSchemas, actionVersion, checkAction } from '#schema/audit-actions/index.ts';
import { definitionName, entrySchema } from '#schema/audit-actions/json-schema.ts';
import type { JsonValue } from '#schema/canonical-json.ts';

const USER = 'usr_01h455vb4pex5vsknk084sn02q';
const ACTOR = { type: 'user', id: USER, ip: '203.0.113.5', ua: 'Mozilla/5.0' } as const;
const SHARED = {
  actor: ACTOR,
  resource: { type: 'document', id: 'doc_01h455vb4pex5vsknk084sn02q', name: 'Q1 plan' },
  context: { to: 'bob@vendor.com', permission: 'view' },
};
const ENVELOPE = { v: 1, seq: 1, prev: 'a'.repeat(64), outcome: 'success' };
const EVENT = {
  id: 'aud_01h455vb4pex5vsknk084sn02q',
  tenant_id: 'tnt_01h455vb4pex5vsknk084sn02q',
  session_id: null,
  request_id: null,
  ts: '2026-01-01T00:00:00.000Z',
};

describe('the JSON Schema of an action', () => {
  const ajv = new Ajv2020({ strict: false });
  ajv.addSchema(entrySchema(), 'entry');
  const judges = actionSchemas().map(({ action, schema }) => ({
    action,
    schema,
    judge: ajv.compile({ $ref: `entry#/$defs/${definitionName(action, schema.version)}` }),
  }));

  it.each(judges.filter(({ action, schema }) => schema.version === actionVersion(action)))(
    '$action takes what the writer takes, and nothing else',
    ({ action, schema, judge }) => {
      const fitting = objectOf(schema.context, false);
      const sloppy = fc.oneof(fitting, objectOf(schema.context, true), fitting.chain(spoilt));
      const type = fc.oneof(fc.constantFrom(...schema.resource), fc.constant('spaceship'));
      let taken = 0;
      fc.assert(
        fc.property(sloppy, type, (given, resourceType) => {
          const resource = { type: resourceType, id: 'x', name: null };
          const event = { actor: ACTOR, resource, context: given as Readonly<Record<string, JsonValue>> };
          const writer = takes(() => checkAction(action, event));
          if (writer) taken += 1;
          expect(judge({ ...ENVELOPE, action_version: schema.version, event: { ...EVENT, action, ...event } })).toBe(
            writer,
          );
        }),
        { numRuns: 60 },
      );
      expect(taken).toBeGreaterThan(0);
    },
  );

  it('is that of a whole entry, which fits by its own action alone', () => {
    const entry = ajv.getSchema('entry');
    for (const { action, schema } of judges) {
      const [context] = fc.sample(objectOf(schema.context, false), 1);
      const resource = { type: schema.resource[0], id: 'x', name: null };
      const event = { ...EVENT, action, actor: ACTOR, resource, context };
      const written = { ...ENVELOPE, action_version: schema.version, event };
      expect(entry?.(written), action).toBe(true);
      expect(entry?.({ ...written, event: { ...event, action: 'nothing.known' } }), action).toBe(false);
    }
  });

  it('takes a sealed value where a personal one stands, and nowhere else', () => {
    const entry = ajv.getSchema('entry');
    const $enc = { k: 'k'.repeat(22), i: 'i'.repeat(16), c: 'c'.repeat(30) };
    const written = (event: object) => ({
      ...ENVELOPE,
      action_version: 1,
      event: { ...EVENT, action: 'document.share', ...SHARED, ...event },
    });
    expect(entry?.(written({}))).toBe(true);
    expect(entry?.(written({ context: { to: { $enc }, permission: 'view' } }))).toBe(true);
    expect(entry?.(written({ actor: { type: 'user', id: USER, ip: { $enc }, ua: { $enc } } }))).toBe(true);
    expect(entry?.(written({ context: { to: 'a', permission: { $enc } } }))).toBe(false);
    expect(entry?.(written({ resource: { ...SHARED.resource, name: { $enc } } }))).toBe(false);
    expect(entry?.({ ...written({}), action_version: 99 })).toBe(false);
  });
});

function takes(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch {
    return false;
  }
}

/** Values that fit; with `edge` also those that just do not. */
function valueOf(field: FieldType, edge: boolean): fc.Arbitrary<unknown> {
  const or = (fits: readonly unknown[], not: unknown) => fc.constantFrom(...fits, ...(edge ? [not] : []));
  switch (field.type) {
    case 'text':
      return or(['', '😀'.repeat(field.maxLength)], '😀'.repeat(field.maxLength + 1));
    case 'id':
      return or(field.prefixes.map(idWith), idWith('xxx'));
    case 'choice':
      return or(field.values, 'none');
    case 'count':
      return or([0, 7, Number.MAX_SAFE_INTEGER], -1);
    case 'number':
      return or([0, 1.5, 1e300], -0.5);
    case 'flag':
      return or([true, false], 'true');
    case 'time':
      return or(['2026-01-01T00:00:00.000Z'], '2026-01-01T00:00:00Z');
    case 'hash':
      return or(['a'.repeat(64), 'f0'.repeat(32)], 'A'.repeat(64));
    case 'list': {
      const { of, maxItems } = field;
      const few = fc.array(valueOf(of, edge), { maxLength: Math.min(3, maxItems) });
      const most = valueOf(of, false).map((each) => Array.from({ length: maxItems + (edge ? 1 : 0) }, () => each));
      return fc.oneof({ weight: 9, arbitrary: few }, { weight: 1, arbitrary: most });
    }
    default:
      return objectOf(field.fields, edge);
  }
}

function idWith(prefix: string): string {
  return `${prefix}_01h455vb4pex5vsknk084sn02q`;
}

function objectOf(fields: Fields, edge: boolean): fc.Arbitrary<Record<string, unknown>> {
  const entries = Object.entries(fields);
  const model = Object.fromEntries(entries.map(([name, field]) => [name, fieldOf(field, edge)]));
  const requiredKeys = entries.filter(([, field]) => field.optional !== true).map(([name]) => name);
  return fc.record(model, { requiredKeys, noNullPrototype: true });
}

function fieldOf(field: Field, edge: boolean): fc.Arbitrary<unknown> {
  return field.nullable === true ? fc.option(valueOf(field, edge)) : valueOf(field, edge);
}

/** A value with something wrong somewhere at its top. */
function spoilt(value: unknown): fc.Arbitrary<unknown> {
  const fields = value as Record<string, unknown>;
  const names = Object.keys(fields);
  const wrong = fc.constantFrom<unknown>(null, -1, 1.5, true, '', 'x', [], [7], {}, { a: 1 }, 2 ** 60);
  const more = wrong.map((each) => ({ ...fields, more: each }));
  if (names.length === 0) return fc.oneof(more, wrong);
  const name = fc.constantFrom(...names);
  return fc.oneof(
    more,
    fc.tuple(name, wrong).map(([key, each]) => ({ ...fields, [key]: each })),
    name.map((key) => Object.fromEntries(Object.entries(fields).filter(([other]) => other !== key))),
  );
}
