import { isInterfaceType, Kind, parse, type ConstDirectiveNode, type GraphQLSchema } from 'graphql';
import { permissionsOf, type Permissions } from '#kit/permission.ts';
import { authorize } from '#kit/authorize.ts';
import { fail } from '#schema/errors.ts';
import type { Scope } from '#schema/scopes.ts';
import type { TenantContext } from '#schema/tenant-context.ts';

/** The rights that a supergraph's fields and types ask for, and which subgraphs have them. */
export interface SupergraphPermissions extends Permissions {
  /** Returns the subgraphs that resolve a field of an object type. */
  readonly graphsOf: (type: string, field: string) => ReadonlySet<string>;
}

/** A right that an operation needs, and the first fields that need it. */
export interface NeededScope {
  readonly scope: Scope;
  readonly paths: readonly string[];
}

/** A right that is needed unless a variable leaves the field out. */
export interface ConditionalScope {
  readonly scope: Scope;
  readonly path: string;
  /** The field is asked for only where each variable has this value. */
  readonly conditions: readonly Condition[];
}

/** What `@include` or `@skip` asks of a variable. */
export interface Condition {
  readonly variable: string;
  readonly value: boolean;
}

/** All rights that an operation needs, found when it is compiled. */
export interface OperationPermissions {
  readonly always: readonly NeededScope[];
  readonly conditional: readonly ConditionalScope[];
  /** Default values of the variables that conditions name. */
  readonly defaults: ReadonlyMap<string, boolean>;
}

/** Reads the directives of a supergraph. */
export function supergraphPermissionsOf(sdl: string): SupergraphPermissions {
  const document = parse(sdl, { noLocation: true });
  const graphs = new Map<string, ReadonlySet<string>>();
  for (const type of document.definitions) {
    if (type.kind !== Kind.OBJECT_TYPE_DEFINITION) continue;
    const home = graphsIn(type.directives, 'join__type');
    for (const field of type.fields ?? []) {
      const own = graphsIn(field.directives, 'join__field');
      graphs.set(`${type.name.value}.${field.name.value}`, own.size > 0 ? own : home);
    }
  }
  return { ...permissionsOf(document), graphsOf: (type, field) => graphs.get(`${type}.${field}`) ?? NOWHERE };
}

/**
 * Passes a caller who holds every right that an operation needs with these variables, which are as the client sent them;
 * else FORBIDDEN, naming rights and fields, or TENANT_READ_ONLY.
 */
export function requirePermissions(
  asker: { readonly tenant: TenantContext },
  needed: OperationPermissions,
  variables: Readonly<Record<string, unknown>>,
): void {
  const { scopes } = asker.tenant;
  const { always, conditional } = needed;
  const asked = conditional.length === 0 ? always : [...always, ...askedFor(needed, variables)];
  if (asked.some(({ scope }) => !scopes.includes(scope))) refuse(asked.filter(({ scope }) => !scopes.includes(scope)));
  for (const { scope } of asked) authorize(asker, scope);
}

/** Returns the object types that a selection on a type may meet. */
export function objectTypesOf(schema: GraphQLSchema, name: string): readonly string[] {
  const type = schema.getType(name);
  if (type === undefined || !('getFields' in type || 'getTypes' in type)) return [];
  if (isInterfaceType(type) || 'getTypes' in type) return schema.getPossibleTypes(type).map((one) => one.name);
  return [name];
}

const NOWHERE: ReadonlySet<string> = new Set();
/** More than these say nothing new to whoever was refused. */
const MOST_NAMED = 5;

function askedFor(
  { conditional, defaults }: OperationPermissions,
  variables: Readonly<Record<string, unknown>>,
): NeededScope[] {
  const isAsked = ({ variable, value }: Condition): boolean => {
    const given = Object.hasOwn(variables, variable) ? variables[variable] : defaults.get(variable);
    // What is no boolean is refused later; until then it leaves nothing out.
    return given !== !value;
  };
  return conditional
    .filter(({ conditions }) => conditions.every(isAsked))
    .map(({ scope, path }) => ({ scope, paths: [path] }));
}

function refuse(missing: readonly NeededScope[]): never {
  const named = missing
    .slice(0, MOST_NAMED)
    .map(({ scope, paths }) => `${paths.slice(0, MOST_NAMED).join(', ')} needs the scope ${scope}`);
  const scopes = [...new Set(missing.map(({ scope }) => scope))];
  return fail('FORBIDDEN', `scopes ${scopes.join(' ')} are missing`, { hint: `${named.join('; ')}.` });
}

/** A field that a subgraph only refers to is not resolved there. */
function graphsIn(directives: readonly ConstDirectiveNode[] | undefined, name: string): ReadonlySet<string> {
  const graphs = new Set<string>();
  for (const directive of directives ?? []) {
    if (directive.name.value !== name) continue;
    const argument = (of: string) => directive.arguments?.find((one) => one.name.value === of)?.value;
    const graph = argument('graph');
    const external = argument('external');
    const isExternal = external?.kind === Kind.BOOLEAN && external.value;
    if (graph?.kind === Kind.ENUM && !isExternal) graphs.add(graph.value);
  }
  return graphs;
}
