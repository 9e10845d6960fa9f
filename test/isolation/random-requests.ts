import {
  getNamedType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
  isUnionType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLOutputType,
  type GraphQLSchema,
} from 'graphql';
import { newMark, type ForeignValues } from './foreign-values.ts';

/** A request to the front door. */
export interface FrontRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  /** Foreign values in it, each once. */
  readonly sent: readonly string[];
  /** What was asked, for the report of a leak. */
  readonly name: string;
}

/** An operation whose arguments are variables, so that it is planned once and asked often. */
export interface RandomOperation {
  readonly name: string;
  readonly document: string;
  readonly variables: readonly { readonly name: string; readonly type: GraphQLInputType; readonly of: string }[];
}

/** Random numbers that a seed decides (mulberry32): a run that found something can be had again. */
export interface Chance {
  below(limit: number): number;
  is(probability: number): boolean;
  of<T>(list: readonly T[]): T;
}

/** Returns the random numbers of a seed. */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    below,
    is: (probability) => next() < probability,
    of: (list) => {
      const chosen = list[below(list.length)];
      if (chosen === undefined) throw new Error('there is nothing to choose from');
      return chosen;
    },
  };
}

const MAX_DEPTH = 3;

/** What may be asked: the fields of a type that the asker has the rights for. */
export interface Askable {
  readonly schema: GraphQLSchema;
  readonly isOpen: (type: string, field: string) => boolean;
}

/** Returns an operation that begins with the root field, selects all values below it and some of what it leads to. */
export function randomOperation(
  { schema, isOpen }: Askable,
  root: { readonly kind: 'query' | 'mutation'; readonly field: GraphQLField<unknown, unknown> },
  chance: Chance,
): RandomOperation {
  const variables: { name: string; type: GraphQLInputType; of: string }[] = [];
  const argumentsOf = (field: GraphQLField<unknown, unknown>): string => {
    const given = field.args.filter((argument) => isRequiredArgument(argument) || chance.is(0.6));
    if (given.length === 0) return '';
    const texts = given.map(({ name, type }) => {
      const variable = `v${variables.length}`;
      variables.push({ name: variable, type, of: `${getNamedType(field.type).name}.${name}` });
      return `${name}: $${variable}`;
    });
    return `(${texts.join(', ')})`;
  };
  const selectionOf = (type: GraphQLOutputType, depth: number): string => {
    const named = getNamedType(type);
    if (!isCompositeType(named)) return '';
    if (isUnionType(named) || isInterfaceType(named))
      return `{ __typename ${schema
        .getPossibleTypes(named)
        .map((one) => `... on ${one.name} ${selectionOf(one, depth + 1)}`)
        .join(' ')} }`;
    const fields = Object.values(named.getFields()).filter((field) => isOpen(named.name, field.name));
    const chosen = fields.filter((field) => {
      const isLeaf = !isCompositeType(getNamedType(field.type));
      // The way through a connection is always gone: without its nodes there is nothing to see.
      const isWay = /^(edges|node|pageInfo)$/.test(field.name) || named.name.endsWith('Payload');
      if (isLeaf) return field.args.length === 0 || chance.is(0.3);
      return depth < MAX_DEPTH + 2 && (isWay || (depth < MAX_DEPTH && chance.is(0.25)));
    });
    const texts = chosen.map(
      (field, at) => `f${at}: ${field.name}${argumentsOf(field)} ${selectionOf(field.type, depth + 1)}`,
    );
    return `{ __typename ${texts.join(' ')} }`;
  };
  const { field, kind } = root;
  const body = `${field.name}${argumentsOf(field)} ${selectionOf(field.type, 1)}`;
  const declared = variables.map(({ name, type }) => `$${name}: ${String(type)}`).join(', ');
  const document = `${kind} ${kind}_${field.name}${declared === '' ? '' : `(${declared})`} { ${body} }`;
  return { name: `${kind === 'query' ? 'Query' : 'Mutation'}.${field.name}`, document, variables };
}

/** Chooses foreign values and writes down which were put in. */
export interface Sender {
  readonly sent: Set<string>;
  id(name: string, type: string): string;
  cursor(): string;
  text(): string;
}

/** Returns a chooser among what is known of the others; a text that was given to a change is not given again, since it is her own by then. */
export function senderOf(values: ForeignValues, chance: Chance, spent: Set<string>): Sender {
  const sent = new Set<string>();
  const put = (value: string) => {
    sent.add(value);
    return value;
  };
  const all = [...values.ids.values()].flat();
  return {
    sent,
    id: (name, type) => {
      const right = values.ids.get(prefixOf(name, type)) ?? [];
      return put(right.length > 0 && chance.is(0.85) ? chance.of(right) : chance.of(all));
    },
    cursor: () => put(chance.of(values.cursors)),
    text: () => {
      const left = values.texts.filter((text) => !spent.has(text));
      return put(left.length > 0 ? chance.of(left) : newMark());
    },
  };
}

/** Returns values for the variables of an operation, foreign wherever a foreign value can stand. */
export function randomVariables(
  { variables }: RandomOperation,
  { sender, chance }: { sender: Sender; chance: Chance },
): Record<string, unknown> {
  const valueOf = (type: GraphQLInputType, name: string, of: string): unknown => {
    if (isNonNullType(type)) return valueOf(type.ofType, name, of);
    if (isListType(type)) {
      const count = chance.below(3);
      return Array.from({ length: count }, () => valueOf(type.ofType, name.replace(/s$/, ''), of));
    }
    if (isEnumType(type)) return chance.of(type.getValues()).name;
    if (isInputObjectType(type)) {
      const fields = Object.values(type.getFields()).filter(
        (field) => isRequiredInputField(field) || getNamedType(field.type).name === 'ID' || chance.is(0.25),
      );
      return Object.fromEntries(fields.map((field) => [field.name, valueOf(field.type, field.name, of)]));
    }
    return scalarOf(getNamedType(type).name, name, of);
  };
  const scalarOf = (scalar: string, name: string, of: string): unknown => {
    if (scalar === 'ID') return sender.id(name, of);
    if (scalar === 'Int') return /first|last/.test(name) ? chance.below(8) : 1 + chance.below(90);
    if (scalar === 'Float') return 1.5;
    if (scalar === 'Boolean') return chance.is(0.5);
    if (scalar === 'DateTimeISO') return chance.of(['2020-01-01T00:00:00.000Z', '2030-01-01T00:00:00.000Z']);
    if (scalar === 'JSONObject') return { note: 'x' };
    if (scalar === 'Decimal') return '1.5';
    if (/^(?:after|before)$/.test(name)) return sender.cursor();
    if (name.endsWith('Id')) return sender.id(name.replace(/^resource|^actor/, 'user'), of);
    return sender.text();
  };
  return Object.fromEntries(variables.map(({ name, type, of }) => [name, valueOf(type, of.split('.')[1] ?? '', of)]));
}

const PREFIXES: Readonly<Record<string, string>> = {
  user: 'usr',
  group: 'grp',
  role: 'rol',
  credential: 'key',
  session: 'ses',
  project: 'prj',
  document: 'doc',
  invoice: 'inv',
  auditevent: 'aud',
  evidencepack: 'evd',
  erasure: 'req',
  subject: 'usr',
  tenant: 'tnt',
  connection: 'con',
  identityconnection: 'con',
  scimconnection: 'con',
  emaildomain: 'dom',
  factor: 'fct',
  receiver: 'rcv',
  securityeventreceiver: 'rcv',
  delivery: 'dlv',
  token: 'scm',
  view: 'vew',
  auditview: 'vew',
  stream: 'str',
  auditstream: 'str',
  legalhold: 'hld',
  releaselegalhold: 'hld',
  deleteauditview: 'vew',
  updateauditview: 'vew',
};

/** `userId` is about a user; `id` about what the field returns. */
function prefixOf(name: string, of: string): string {
  const type = (of.split('.')[0] ?? '').replace(/(?:Payload|Connection)$/, '');
  const word = name === 'id' ? type : name.replace(/Ids?$/, '');
  const key = word.toLowerCase();
  return PREFIXES[key] ?? PREFIXES[/(role|group|user)$/.exec(key)?.[1] ?? ''] ?? '';
}

/** Returns the root fields of the schema that an asker may choose from. */
export function rootFields(schema: GraphQLSchema, kind: 'query' | 'mutation'): GraphQLField<unknown, unknown>[] {
  const type = kind === 'query' ? schema.getQueryType() : schema.getMutationType();
  return isObjectType(type) ? Object.values(type.getFields()) : [];
}
