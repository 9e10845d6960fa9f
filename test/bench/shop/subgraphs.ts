import { buildSubgraphSchema } from '@apollo/subgraph';
import type { GraphQLSchemaModule } from '@apollo/subgraph/dist/buildSubgraphSchema.js';
import { composeServices } from '@theguild/federation-composition';
import { parse, type GraphQLSchema } from 'graphql';

// A shop of four subgraphs, of the shape that public benchmarks of federated gateways use: users review products, and
// the warehouse needs price and weight for its estimate.

const LINK =
  'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@external", "@requires", "@shareable", "@listSize"])';

interface Reference {
  readonly id: string;
  readonly upc: string;
  readonly price: number;
  readonly weight: number;
}

const PRODUCTS = 20;
const REVIEWED_PRODUCTS = 8;
const USERS = 6;
const REVIEWS = 24;

const users = list(USERS, (n) => ({
  id: `u${n}`,
  name: `Person Number ${n}`,
  username: `person-${n}`,
  birthday: `19${60 + n}-03-0${n}`,
}));
const products = list(PRODUCTS, (n) => ({
  upc: `p${n}`,
  name: `Product of the house ${n}`,
  price: 100 + n * 7,
  weight: 50 + n * 13,
}));
const reviews = list(REVIEWS, (n) => ({
  id: `r${n}`,
  body: `Review ${n}: it does what it says`,
  authorId: `u${1 + (n % USERS)}`,
  productUpc: `p${1 + (n % REVIEWED_PRODUCTS)}`,
}));

/** A subgraph of the shop. */
export interface ShopSubgraph {
  readonly name: string;
  readonly typeDefs: string;
  readonly schema: GraphQLSchema;
}

/** The four subgraphs with their data, which never changes. */
export const SHOP: readonly ShopSubgraph[] = [
  subgraph(
    'accounts',
    `type Query { me: User users: [User!]! @listSize(assumedSize: ${USERS}) }
     type User @key(fields: "id") { id: ID! name: String username: String birthday: String }`,
    {
      Query: { me: () => users[0], users: () => users },
      User: { __resolveReference: ({ id }: Reference) => users.find((user) => user.id === id) },
    },
  ),
  subgraph(
    'inventory',
    `type Product @key(fields: "upc") {
       upc: String! price: Int @external weight: Int @external
       inStock: Boolean shippingEstimate: Int @requires(fields: "price weight")
     }`,
    {
      Product: {
        __resolveReference: (reference: Reference) => reference,
        inStock: ({ upc }: Reference) => upc !== 'p3',
        shippingEstimate: ({ price, weight }: Reference) => (price > 200 ? 0 : weight / 2 + 0.5) | 0,
      },
    },
  ),
  subgraph(
    'products',
    `type Query { topProducts(first: Int = 5): [Product!]! @listSize(slicingArguments: ["first"]) }
     type Product @key(fields: "upc") { upc: String! name: String price: Int weight: Int }`,
    {
      Query: { topProducts: (_: unknown, { first }: { first: number }) => products.slice(0, first) },
      Product: { __resolveReference: ({ upc }: Reference) => products.find((product) => product.upc === upc) },
    },
  ),
  subgraph(
    'reviews',
    `type Review @key(fields: "id") { id: ID! body: String author: User product: Product }
     type User @key(fields: "id") { id: ID! reviews: [Review!] @listSize(assumedSize: ${REVIEWS / USERS}) }
     type Product @key(fields: "upc") { upc: String! reviews: [Review!] @listSize(assumedSize: ${REVIEWS / REVIEWED_PRODUCTS}) }`,
    {
      Review: {
        __resolveReference: ({ id }: Reference) => reviews.find((review) => review.id === id),
        author: ({ authorId }: (typeof reviews)[number]) => ({ id: authorId }),
        product: ({ productUpc }: (typeof reviews)[number]) => ({ upc: productUpc }),
      },
      User: { reviews: ({ id }: Reference) => reviews.filter((review) => review.authorId === id) },
      Product: { reviews: ({ upc }: Reference) => reviews.filter((review) => review.productUpc === upc) },
    },
  ),
];

/** Returns the supergraph over the shop with each subgraph at its address. */
export function shopSupergraph(addresses: Readonly<Record<string, string>>): string {
  const result = composeServices(
    SHOP.map(({ name, typeDefs }) => ({ name, typeDefs: parse(typeDefs), url: addresses[name] ?? '' })),
  );
  if (result.supergraphSdl === undefined)
    throw new Error(`the shop does not compose: ${JSON.stringify(result.errors)}`);
  return result.supergraphSdl;
}

function subgraph(name: string, types: string, resolvers: NonNullable<GraphQLSchemaModule['resolvers']>): ShopSubgraph {
  const typeDefs = `${LINK}\n${types}`;
  return { name, typeDefs, schema: buildSubgraphSchema([{ typeDefs: parse(typeDefs), resolvers }]) };
}

function list<T>(length: number, make: (n: number) => T): T[] {
  return Array.from({ length }, (_, index) => make(index + 1));
}
