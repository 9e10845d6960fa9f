import { Kind, buildSchema, parse, validate } from 'graphql';
import type { DocumentNode } from 'graphql';
import { TenonError } from '#schema/errors.ts';
import { readCostSchema } from '#schema/cost/cost-schema.ts';
import { estimateCost, fragmentsOf } from '#schema/cost/query-cost.ts';
import { compileCost } from '#schema/cost/cost-program.ts';
import type { CostEstimate } from '#schema/cost/cost-program.ts';
import type { CostInput } from '#schema/cost/query-cost.ts';

const DIRECTIVES = `
  directive @cost(weight: Int!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR
  directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
`;

/** The shapes that the published cost suites of other gateways use, and the Relay shapes of this one. */
const SDL = `
  type Query {
    name: String
    owner: User
    members: [User!]!
    matrix: [[User!]!]!
    numbers: [Int]
    actor: Actor
    node(id: ID): Node
    actors: [Actor!]!
    priced: Int @cost(weight: 5)
    pricedOwner: User @cost(weight: 5)
    pricedMembers: [User!]! @cost(weight: 5)
    pricedNumbers: [Int] @cost(weight: 2)
    pricedActor: Actor @cost(weight: 7)
    pricedArgument(arg: Int @cost(weight: 10), other: Int): Int
    filtered(filter: Filter, filters: [Filter!]): Int
    kind: Kind
    blob: Blob
    report: Report
    refund: Int @cost(weight: -100)
    assumed: [User!]! @listSize(assumedSize: 3)
    sliced(first: Int, last: Int): [User!]! @listSize(slicingArguments: ["first", "last"])
    defaulted(first: Int = 4, last: Int): [User!]! @listSize(slicingArguments: ["first", "last"], assumedSize: 7)
    loose(first: Int, last: Int): [User!]!
      @listSize(slicingArguments: ["first", "last"], assumedSize: 7, requireOneSlicingArgument: false)
    weighedSlice(first: Int @cost(weight: 3)): [User!]! @listSize(slicingArguments: ["first"])
    source: Source
    cube(first: Int): ${'['.repeat(40)}User${']'.repeat(40)} @listSize(slicingArguments: ["first"])
    byIds(ids: [ID!]!): [User]! @listSize(slicingArguments: ["ids"])
    search(input: Search): [User!]! @listSize(slicingArguments: ["input.page.first"], requireOneSlicingArgument: false)
    connection(first: Int, last: Int): UserConnection!
      @listSize(slicingArguments: ["first", "last"], sizedFields: ["edges", "nodes"], requireOneSlicingArgument: false)
  }
  type Mutation { touch: Int  rename(name: String): User }
  type Subscription { changed: User }
  input Filter { name: String @cost(weight: 20)  and: [Filter!]  not: Filter }
  input Search { page: Page = { first: 6 } }
  input Page { first: Int = 2  after: String }
  enum Kind @cost(weight: 15) { A B }
  scalar Blob @cost(weight: 30)
  type Report @cost(weight: 40) { id: ID }
  interface Node { id: ID! }
  type User implements Node { id: ID!  name: String  friends: [User!]!  friend: User  bestFriend: User }
  type Robot implements Node @cost(weight: 4) { id: ID!  name: String  owner: User  parts: [Part!]! }
  type Part { id: ID! }
  union Actor = User | Robot
  type UserConnection { edges: [UserEdge!]!  nodes: [User!]!  pageInfo: PageInfo!  other: [User!]! }
  type UserEdge { node: User!  cursor: String! }
  interface Source { list: UserConnection! }
  type Archive implements Source { list: UserConnection! @listSize(assumedSize: 2, sizedFields: ["nodes"]) }
  type Directory implements Source { list: UserConnection! @listSize(assumedSize: 30, sizedFields: ["nodes"]) }
  type PageInfo { hasNextPage: Boolean! }
`;

/** The API schema of the fixture. */
export const schema = buildSchema(DIRECTIVES + SDL);
const costs = readCostSchema(DIRECTIVES + SDL);

/** What an estimate takes beside the operation. */
export interface Options {
  readonly variables?: Record<string, unknown>;
  readonly defaultListSize?: number;
}

/** Returns the input for a valid operation of the fixture's schema; an invalid one throws. */
export function inputOf(source: string, options: Options = {}): CostInput {
  const document = parse(source);
  const faults = validate(schema, document);
  if (faults[0] !== undefined) throw faults[0];
  return { ...inputOfDocument(document), ...options };
}

/** Returns the input for the first operation of a document, valid or not. */
export function inputOfDocument(document: DocumentNode): CostInput {
  const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  if (operation === undefined) throw new Error('no operation');
  return { operation, fragments: fragmentsOf(document), variables: {}, schema, costs };
}

/** Returns the estimated total of a valid operation. */
export function cost(source: string, options?: Options): number {
  return estimateCost(inputOf(source, options)).total;
}

/** Returns the estimate of an operation that validation might refuse. */
export function estimateUnchecked(source: string, variables: Record<string, unknown> = {}): CostEstimate {
  return estimateCost({ ...inputOfDocument(parse(source)), variables });
}

/** Returns the steps that compiling the first operation of a document takes. */
export function workOf(source: string): number {
  return compileCost(inputOfDocument(parse(source))).work();
}

/** Returns the error of the table that the work fails with. */
export function failureOf(work: () => unknown): TenonError {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof TenonError) return thrown;
    throw thrown;
  }
  throw new Error('nothing failed');
}
