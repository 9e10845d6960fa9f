import {
  defaultFieldResolver,
  getNamedType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  type DocumentNode,
  type GraphQLFieldResolver,
  type GraphQLOutputType,
  type GraphQLSchema,
} from 'graphql';
import type { RequestContext } from './request-context.ts';

/** What stands in the place of a text that may not be shown and has to be one. */
const MASKED = '(masked)';
/** By the type of a field that may not be null; another type of field has to be nullable to be personal. */
const MASKS: Readonly<Record<string, unknown>> = { String: MASKED, ID: MASKED, JSONObject: {} };

/**
 * Makes every field that carries `@personalData` show nothing to an operator whom the tenant let in without what is
 * personal: null, or `(masked)` where a text has to be there. A field that could show neither throws, when it is built.
 */
export function maskPersonalFields(schema: GraphQLSchema, sdl: DocumentNode): void {
  const personal = personalFieldsOf(sdl);
  for (const type of Object.values(schema.getTypeMap()).filter(isObjectType)) {
    for (const field of Object.values(type.getFields())) {
      const path = `${type.name}.${field.name}`;
      if (!personal.has(path)) continue;
      const mask = maskOf(path, field.type);
      const resolve = field.resolve ?? defaultFieldResolver;
      field.resolve = (...call: Parameters<GraphQLFieldResolver<unknown, RequestContext>>): unknown =>
        call[2].tenant.support?.personal === false ? mask : resolve(...call);
    }
  }
}

function maskOf(path: string, type: GraphQLOutputType): unknown {
  if (!isNonNullType(type)) return null;
  if (isListType(type.ofType)) return [];
  const { name } = getNamedType(type);
  if (!Object.hasOwn(MASKS, name)) throw new Error(`${path} is personal and can neither be null nor be masked`);
  return MASKS[name];
}

function personalFieldsOf(sdl: DocumentNode): ReadonlySet<string> {
  return new Set(
    sdl.definitions.flatMap((type) =>
      type.kind === Kind.OBJECT_TYPE_DEFINITION || type.kind === Kind.OBJECT_TYPE_EXTENSION
        ? (type.fields ?? [])
            .filter(({ directives }) => directives?.some(({ name }) => name.value === 'personalData') === true)
            .map((field) => `${type.name.value}.${field.name.value}`)
        : [],
    ),
  );
}
