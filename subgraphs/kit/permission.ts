import {
  defaultFieldResolver,
  isObjectType,
  Kind,
  type ConstDirectiveNode,
  type DocumentNode,
  type GraphQLFieldResolver,
  type GraphQLSchema,
  type ObjectTypeDefinitionNode,
  type ObjectTypeExtensionNode,
} from 'graphql';
import { isScope, type Scope } from '#schema/scopes.ts';
import { authorize } from './authorize.ts';
import type { RequestContext } from './request-context.ts';

/** The rights that the `@permission` directives of an SDL ask for. */
export interface Permissions {
  /** By `Type.field`. */
  readonly fields: ReadonlyMap<string, Scope>;
  /** What a type asks of whoever comes to it from another subgraph, by its id. */
  readonly types: ReadonlyMap<string, Scope>;
}

/** Reads the directives of a subgraph or a supergraph; a right that is not in the table throws, since nobody holds it. */
export function permissionsOf(sdl: DocumentNode): Permissions {
  const fields = new Map<string, Scope>();
  const types = new Map<string, Scope>();
  for (const type of sdl.definitions.filter(isObject)) {
    const name = type.name.value;
    for (const scope of scopesOf(type.directives, name)) types.set(name, scope);
    for (const field of type.fields ?? []) {
      const path = `${name}.${field.name.value}`;
      for (const scope of scopesOf(field.directives, path)) fields.set(path, scope);
    }
  }
  return { fields, types };
}

/** Makes every field that carries the directive refuse whoever lacks its right, before its resolver runs. */
export function guardFields(schema: GraphQLSchema, { fields }: Permissions): void {
  for (const type of Object.values(schema.getTypeMap()).filter(isObjectType)) {
    for (const field of Object.values(type.getFields())) {
      const scope = fields.get(`${type.name}.${field.name}`);
      if (scope === undefined) continue;
      const resolve = field.resolve ?? defaultFieldResolver;
      field.resolve = (...call: Parameters<GraphQLFieldResolver<unknown, RequestContext>>): unknown => {
        authorize(call[2], scope);
        return resolve(...call);
      };
    }
  }
}

function isObject(
  node: DocumentNode['definitions'][number],
): node is ObjectTypeDefinitionNode | ObjectTypeExtensionNode {
  return node.kind === Kind.OBJECT_TYPE_DEFINITION || node.kind === Kind.OBJECT_TYPE_EXTENSION;
}

function scopesOf(directives: readonly ConstDirectiveNode[] | undefined, place: string): Scope[] {
  return (directives ?? [])
    .filter(({ name }) => name.value === 'permission')
    .map((directive) => {
      const value = directive.arguments?.find(({ name }) => name.value === 'scope')?.value;
      const scope = value?.kind === Kind.STRING ? value.value : '';
      if (!isScope(scope)) throw new Error(`@permission on ${place} names no scope of the table: ${scope}`);
      return scope;
    });
}
