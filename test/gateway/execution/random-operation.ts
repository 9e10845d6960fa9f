import fc from 'fast-check';
import {
  getNamedType,
  isAbstractType,
  isCompositeType,
  isInterfaceType,
  isObjectType,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLSchema,
} from 'graphql';

const CONDITIONS = ['', '', '', '', ' @include(if: $yes)', ' @skip(if: $yes)', ' @include(if: $no)', ' @skip(if: $no)'];
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  id: ['id: "u1"', 'id: "u3"', 'id: "gone"', 'id: $user'],
  upc: ['upc: "p1"', 'upc: "p2"', 'upc: "gone"'],
  currency: ['', 'currency: "EUR"', 'currency: $currency'],
  first: ['', 'first: 3', 'first: $first'],
};

/** Variables that every generated operation declares. */
export const DECLARED = '($yes: Boolean!, $no: Boolean!, $user: ID!, $currency: String = "EUR", $first: Int)';
/** Values for them. */
export const VALUES = { yes: true, no: false, user: 'u2', first: 4 };

/** Returns random valid operations over a schema, with aliases, fragments, conditions and arguments. */
export function randomOperation(schema: GraphQLSchema): fc.Arbitrary<string> {
  const query = schema.getQueryType();
  if (query === null || query === undefined) throw new Error('a schema has a query type');
  return selection(schema, query, 4).map((text) => `query Random${DECLARED} ${text}`);
}

function selection(schema: GraphQLSchema, type: GraphQLCompositeType, depth: number): fc.Arbitrary<string> {
  const parts = fc.array(part(schema, type, depth), { minLength: 1, maxLength: 4 });
  return parts.map((items) => `{ ${items.join(' ')} }`);
}

function part(schema: GraphQLSchema, type: GraphQLCompositeType, depth: number): fc.Arbitrary<string> {
  const arbitraries = [typename(), typename()];
  const fields = isAbstractType(type) && !isInterfaceType(type) ? [] : Object.values(type.getFields());
  const usable = fields.filter((field) => depth > 0 || !isCompositeType(getNamedType(field.type)));
  if (usable.length > 0) {
    const some = fc.constantFrom(...usable).chain((field) => fieldText(schema, field, depth));
    arbitraries.push(some, some, some, some, some, some, some, some);
  }
  const narrower = isAbstractType(type) ? [...schema.getPossibleTypes(type), type] : [type];
  if (depth > 0) arbitraries.push(fragment(schema, narrower, depth), fragment(schema, narrower, depth));
  return fc.oneof(...arbitraries);
}

function typename(): fc.Arbitrary<string> {
  return fc.constantFrom('__typename', 'kind: __typename');
}

/** An alias is the field with its arguments, so that two fields under one name are always the same. */
function fieldText(schema: GraphQLSchema, field: GraphQLField<unknown, unknown>, depth: number): fc.Arbitrary<string> {
  const type = getNamedType(field.type);
  const inner = isCompositeType(type) ? selection(schema, type, depth - 1) : fc.constant('');
  const [argument] = field.args;
  const choices = argument === undefined ? [''] : (ARGUMENTS[argument.name] ?? ['']);
  return fc
    .tuple(fc.nat(choices.length - 1), fc.boolean(), fc.constantFrom(...CONDITIONS), inner)
    .map(([choice, plain, condition, text]) => {
      const given = choices[choice] ?? '';
      const alias = plain && choices.length === 1 ? '' : `${field.name}_${choice}: `;
      return `${alias}${field.name}${given === '' ? '' : `(${given})`}${condition} ${text}`;
    });
}

function fragment(schema: GraphQLSchema, types: readonly GraphQLCompositeType[], depth: number): fc.Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom(...types), fc.constantFrom(...CONDITIONS))
    .chain(([type, condition]) =>
      selection(schema, type, depth - 1).map((text) =>
        isObjectType(type) || isAbstractType(type) ? `... on ${type.name}${condition} ${text}` : text,
      ),
    );
}
