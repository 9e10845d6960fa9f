import {
  getNamedType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
  Kind,
  parse,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLObjectType,
  type GraphQLSchema,
} from 'graphql';

/** A field of a supergraph, with an operation that reaches it by the shortest way and the rights on that way. */
export interface ReachedField {
  /** `Query.user`, `User.sessions`. */
  readonly name: string;
  readonly kind: 'query' | 'mutation';
  readonly document: string;
  /** Read from the directives, by nothing of the gateway. */
  readonly scopes: readonly string[];
  /** The arguments on the way that take an id. */
  readonly takesIds: boolean;
  readonly variables: (idOf: IdChoice) => Record<string, unknown>;
}

/** Chooses the id that an argument or input field of this name takes; `type` is what the field returns. */
export type IdChoice = (name: string, type: string) => string;

/** Returns every field of the root types, and every other one that asks for a right of its own. */
export function fieldsOf(supergraphSdl: string, schema: GraphQLSchema): ReachedField[] {
  const scopes = scopesIn(supergraphSdl);
  const query = schema.getQueryType();
  const mutation = schema.getMutationType();
  if (query == null || mutation == null) throw new Error('the supergraph has queries and mutations');
  const ways = waysFrom(query, scopes);
  const nested = [...ways].flatMap(([type, way]) =>
    Object.values(objectType(schema, type).getFields())
      .filter((field) => type !== query.name && scopes.has(`${type}.${field.name}`))
      .map((field) => reached('query', [...way, { type, field }], scopes)),
  );
  return [
    ...Object.values(query.getFields()).map((field) => reached('query', [{ type: query.name, field }], scopes)),
    ...Object.values(mutation.getFields()).map((field) =>
      reached('mutation', [{ type: mutation.name, field }], scopes),
    ),
    ...nested,
  ];
}

interface Step {
  readonly type: string;
  readonly field: GraphQLField<unknown, unknown>;
}

function scopesIn(sdl: string): Map<string, string> {
  const scopes = new Map<string, string>();
  for (const type of parse(sdl).definitions) {
    if (type.kind !== Kind.OBJECT_TYPE_DEFINITION) continue;
    for (const field of type.fields ?? []) {
      const value = field.directives?.find(({ name }) => name.value === 'permission')?.arguments?.[0]?.value;
      if (value?.kind === Kind.STRING) scopes.set(`${type.name.value}.${field.name.value}`, value.value);
    }
  }
  return scopes;
}

/** The shortest way from the root to each object type. */
function waysFrom(root: GraphQLObjectType, scopes: ReadonlyMap<string, string>): Map<string, readonly Step[]> {
  const ways = new Map<string, readonly Step[]>([[root.name, []]]);
  const pending: [GraphQLObjectType, readonly Step[]][] = [[root, []]];
  for (const [type, way] of pending) {
    // A field with a right of its own leads on as well; fewer rights first keeps the ways simple.
    const fields = Object.values(type.getFields()).toSorted(
      (left, right) =>
        Number(scopes.has(`${type.name}.${left.name}`)) - Number(scopes.has(`${type.name}.${right.name}`)),
    );
    for (const field of type === root ? Object.values(type.getFields()) : fields) {
      const next = getNamedType(field.type);
      if (!isObjectType(next) || ways.has(next.name)) continue;
      const longer = [...way, { type: type.name, field }];
      ways.set(next.name, longer);
      pending.push([next, longer]);
    }
  }
  return ways;
}

function reached(kind: ReachedField['kind'], way: readonly Step[], scopes: ReadonlyMap<string, string>): ReachedField {
  const given = way.flatMap(({ field }, at) =>
    field.args.filter(isRequiredArgument).map((argument) => ({ argument, field, variable: `v${at}_${argument.name}` })),
  );
  const declared = given.map(({ argument, variable }) => `$${variable}: ${String(argument.type)}`).join(' ');
  const last = way.at(-1);
  if (last === undefined) throw new Error('a way has a step');
  const name = `${last.type}.${last.field.name}`;
  const head = `${kind} ${name.replace('.', '_')}${declared === '' ? '' : `(${declared})`}`;
  const body = way.toReversed().reduce((inner, { field }) => {
    const own = given.filter((one) => one.field === field);
    const args = own.map(({ argument, variable }) => `${argument.name}: $${variable}`).join(' ');
    const selected = inner === '' ? selectionOf(field) : `{ ${inner} }`;
    return `${field.name}${args === '' ? '' : `(${args})`} ${selected}`;
  }, '');
  return {
    name,
    kind,
    document: `${head} { ${body} }`,
    scopes: [...new Set(way.flatMap(({ type, field }) => scopes.get(`${type}.${field.name}`) ?? []))],
    takesIds: given.some(({ argument }) => holdsId(argument.type)),
    variables: (idOf) =>
      Object.fromEntries(
        given.map(({ argument, field, variable }) => [
          variable,
          valueOf(argument.type, argument.name, (wanted) => idOf(wanted, getNamedType(field.type).name)),
        ]),
      ),
  };
}

function selectionOf({ type }: GraphQLField<unknown, unknown>): string {
  return isCompositeType(getNamedType(type)) ? '{ __typename }' : '';
}

function holdsId(type: GraphQLInputType): boolean {
  const named = getNamedType(type);
  if (named.name === 'ID') return true;
  return (
    isInputObjectType(named) &&
    Object.values(named.getFields()).some((field) => field.type !== type && holdsId(field.type))
  );
}

/** A value of the right shape; required parts, and every id, so that a mutation finds what it is about. */
function valueOf(type: GraphQLInputType, name: string, idOf: (name: string) => string): unknown {
  if (isNonNullType(type)) return valueOf(type.ofType, name, idOf);
  if (isListType(type)) return getNamedType(type).name === 'ID' ? [idOf(name.replace(/s$/, ''))] : [];
  if (isEnumType(type)) return type.getValues()[0]?.name;
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter(
      (field) => isRequiredInputField(field) || field.name.endsWith('Id'),
    );
    return Object.fromEntries(fields.map((field) => [field.name, valueOf(field.type, field.name, idOf)]));
  }
  return SCALARS[getNamedType(type).name]?.(name, idOf) ?? 'x1';
}

const SCALARS: Readonly<Record<string, (name: string, idOf: (name: string) => string) => unknown>> = {
  ID: (name, idOf) => idOf(name),
  Int: () => 1,
  Float: () => 1,
  Boolean: () => true,
  DateTimeISO: () => '2026-01-01T00:00:00.000Z',
  String: (name) => (/email/i.test(name) ? 'nobody@nowhere.example' : 'matrix'),
};

function objectType(schema: GraphQLSchema, name: string): GraphQLObjectType {
  const type = schema.getType(name);
  if (!isObjectType(type)) throw new Error(`${name} is an object type`);
  return type;
}
