import { ACTOR_TYPES, MAX_ACTION_VERSION, OUTCOMES } from '#schema/audit-event.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { isObject } from '#schema/json-object.ts';
import type { ActionSchema } from './action.ts';
import { PATTERNS } from './check.ts';
import type { Field, Fields, FieldType } from './field.ts';
import { actionSchemas, type ActionVersion } from './index.ts';

/** A JSON Schema of the dialect 2020-12, so far as the catalogue needs it. */
export type JsonSchema = { readonly [keyword: string]: JsonValue };

/** Where the schema of one action in one version stands among the `$defs`. */
export function definitionName(action: string, version: number): string {
  return `${action}@${version}`;
}

/**
 * Returns the JSON Schema of a log entry: it fits where its event fits its action's schema in the version that the entry
 * names. A personal value may be there as it is or sealed. What a schema cannot say of an event (its lengths in bytes, its
 * place in the log) is in docs/formats.md. It knows the actions that are given, or all.
 */
export function entrySchema(schemas: readonly ActionVersion[] = actionSchemas()): JsonSchema {
  const definitions = schemas.map(({ action, schema }): [string, JsonSchema] => [
    definitionName(action, schema.version),
    actionSchema(action, schema),
  ]);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Entry of the audit log',
    ...exactly({
      v: { const: 1 },
      seq: { type: 'integer', minimum: 0 },
      prev: { type: 'string', pattern: PATTERNS.hash },
      outcome: { enum: [...OUTCOMES] },
      action_version: { type: 'integer', minimum: 1, maximum: MAX_ACTION_VERSION },
      event: { $ref: reference('event') },
    }),
    anyOf: definitions.map(([name]) => ({ $ref: reference(name) })),
    $defs: { sealed: SEALED, event: EVENT, ...Object.fromEntries(definitions) },
  };
}

/** Returns the text of the schema's file: each definition on a line, so that a change shows as the line of its action. */
export function schemaText({ $defs, ...rest }: JsonSchema): string {
  const lines = Object.entries(isObject($defs) ? $defs : {}).map(
    ([name, schema]) => `    ${JSON.stringify(name)}: ${JSON.stringify(schema)}`,
  );
  const head = Object.entries(rest).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)},`);
  return `{\n${head.join('\n')}\n  "$defs": {\n${lines.join(',\n')}\n  }\n}\n`;
}

/** What one version of an action's schema says of an entry, beside what all say. */
function actionSchema(action: string, { version, about, resource, resourceName, context }: ActionSchema): JsonSchema {
  const name = resourceName === 'plain' ? { name: TEXT_OR_NULL } : {};
  return {
    description: about,
    properties: {
      action_version: { const: version },
      event: {
        properties: {
          action: { const: action },
          resource: { properties: { type: { enum: [...resource] }, ...name } },
          context: objectSchema(context),
        },
      },
    },
  };
}

/** What a personal value becomes before it is hashed; docs/formats.md says how it is read. */
const SEALED: JsonSchema = {
  description: 'A personal value, sealed with the key of the person it is about.',
  ...exactly({
    $enc: exactly({
      k: { type: 'string', pattern: '^[A-Za-z0-9_-]{22}$' },
      i: { type: 'string', pattern: '^[A-Za-z0-9_-]{16}$' },
      c: { type: 'string', pattern: '^[A-Za-z0-9_-]{23,}$' },
    }),
  }),
};

const TEXT: JsonSchema = { type: 'string' };
const TEXT_OR_NULL: JsonSchema = { type: ['string', 'null'] };

/** What the events of all actions have in common. */
const EVENT: JsonSchema = exactly({
  id: { type: 'string', pattern: PATTERNS.id(['aud']) },
  tenant_id: { type: 'string', pattern: PATTERNS.id(['tnt']) },
  actor: exactly({
    type: { enum: [...ACTOR_TYPES] },
    id: TEXT_OR_NULL,
    ip: sealable(TEXT_OR_NULL),
    ua: sealable(TEXT_OR_NULL),
  }),
  action: TEXT,
  resource: exactly({ type: TEXT, id: TEXT, name: sealable(TEXT_OR_NULL) }),
  context: { type: 'object' },
  session_id: TEXT_OR_NULL,
  request_id: TEXT_OR_NULL,
  ts: TEXT,
});

function reference(name: string): string {
  return `#/$defs/${name}`;
}

function sealable(schema: JsonSchema): JsonSchema {
  return { anyOf: [schema, { $ref: reference('sealed') }] };
}

/** An object of these keys, all of them there. */
function exactly(properties: JsonSchema): JsonSchema {
  return { type: 'object', properties, required: Object.keys(properties), additionalProperties: false };
}

function objectSchema(fields: Fields): JsonSchema {
  const entries = Object.entries(fields);
  const required = entries.filter(([, field]) => field.optional !== true).map(([name]) => name);
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, field]) => [name, fieldSchema(field)])),
    ...(required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
}

function fieldSchema(field: Field): JsonSchema {
  const plain = typeSchema(field);
  const schema = field.nullable === true ? { anyOf: [plain, { type: 'null' }] } : plain;
  return field.personal === undefined ? schema : sealable(schema);
}

function typeSchema(field: FieldType): JsonSchema {
  switch (field.type) {
    case 'text':
      return { type: 'string', maxLength: field.maxLength };
    case 'id':
      return { type: 'string', pattern: PATTERNS.id(field.prefixes) };
    case 'choice':
      return { enum: [...field.values] };
    case 'count':
      return { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
    case 'number':
      return { type: 'number', minimum: 0 };
    case 'flag':
      return { type: 'boolean' };
    case 'time':
      return { type: 'string', pattern: PATTERNS.time };
    case 'hash':
      return { type: 'string', pattern: PATTERNS.hash };
    case 'list':
      return { type: 'array', items: typeSchema(field.of), maxItems: field.maxItems };
    default:
      return objectSchema(field.fields);
  }
}
