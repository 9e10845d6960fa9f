import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { evolutionFaults } from '#schema/audit-actions/evolution.ts';
import { definitionName, entrySchema } from '#schema/audit-actions/json-schema.ts';
import type { JsonValue } from '#schema/canonical-json.ts';

type JsonObject = { readonly [key: string]: JsonValue };

interface ContextJson {
  properties: Record<string, JsonValue>;
  required: string[];
}

interface ActionSchemaJson {
  description: string;
  readonly context: ContextJson;
}

const PERMISSION: JsonValue = { enum: ['view', 'comment', 'edit'] };

function sealable(schema: JsonValue): JsonValue {
  return { anyOf: [schema, { $ref: '#/$defs/sealed' }] };
}

describe('a schema that changes', () => {
  const before = entrySchema();
  const sharing = definitionName('document.share', 1);
  const changed = (patch: (schema: ActionSchemaJson) => void): JsonValue => {
    const after = structuredClone(before) as unknown as { $defs: Record<string, ActionSchemaJson> };
    const schema = after.$defs[sharing];
    if (schema === undefined) throw new Error('document.share has a schema');
    patch(schema);
    return after as unknown as JsonValue;
  };

  it('without a change has no fault', () => expect(evolutionFaults(before, before)).toEqual([]));

  it.each<[string, (schema: ActionSchemaJson) => void]>([
    ['a longer text', ({ context }) => (context.properties['to'] = sealable({ type: 'string', maxLength: 500 }))],
    [
      'a further choice',
      ({ context }) => (context.properties['permission'] = { enum: ['own', 'view', 'comment', 'edit'] }),
    ],
    ['a further optional field', ({ context }) => (context.properties['more'] = { type: 'boolean' })],
    ['a field that may be missing now', ({ context }) => (context.required = ['to'])],
    ['a field that is personal now', ({ context }) => (context.properties['permission'] = sealable(PERMISSION))],
    ['another description', (schema) => (schema.description = 'Shared.')],
  ])('by %s keeps its version', (_name, patch) => expect(evolutionFaults(before, changed(widen(patch)))).toEqual([]));

  it.each<[string, string, (schema: ActionSchemaJson) => void]>([
    [
      'a shorter text',
      'event.context.to',
      ({ context }) => (context.properties['to'] = sealable({ type: 'string', maxLength: 9 })),
    ],
    ['another type', 'event.context.to', ({ context }) => (context.properties['to'] = { type: 'boolean' })],
    [
      'a choice less',
      'event.context.permission',
      ({ context }) => (context.properties['permission'] = { enum: ['view'] }),
    ],
    ['a field less', 'event.context.permission', ({ context }) => delete context.properties['permission']],
    ['a field that must be there', 'event.context', ({ context }) => (context.required = ['to', 'permission', 'more'])],
    [
      'a field that is personal no more',
      'event.context.to',
      ({ context }) => (context.properties['to'] = { type: 'string', maxLength: 320 }),
    ],
  ])('by %s needs a version of its own', (_name, where, patch) =>
    expect(evolutionFaults(before, changed(widen(patch)))).toEqual([
      `document.share: version 1 takes less than before at ${where}; make it version 2`,
    ]),
  );

  it('may not lose a version, for entries of it are in the logs', () => {
    const { [sharing]: _gone, ...rest } = before['$defs'] as JsonObject;
    expect(evolutionFaults(before, { ...before, $defs: rest })).toEqual([
      'document.share: version 1 is gone; keep it under "earlier", for entries of it are in the logs',
    ]);
  });

  it('has taken nothing away since the file that is committed', () => {
    const file = readFileSync(new URL('../../schema/audit-events.schema.json', import.meta.url), 'utf8');
    expect(evolutionFaults(JSON.parse(file) as JsonValue, before)).toEqual([]);
  });
});

/** Lets a patch see the context of a schema without its way there. */
function widen(patch: (schema: ActionSchemaJson) => void): (schema: ActionSchemaJson) => void {
  return (schema) => {
    const { event } = (schema as unknown as { properties: { event: { properties: { context: ContextJson } } } })
      .properties;
    const view = { description: schema.description, context: event.properties.context };
    patch(view);
    schema.description = view.description;
  };
}
