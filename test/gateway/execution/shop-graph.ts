import { makeExecutableSchema } from './shop-monolith.ts';
import type { TestSubgraph } from './federated-graph.ts';

/** The shop's data: small, with nulls, empty lists, cycles and a field that throws. */
const USERS = [
  { id: 'u1', name: 'Ada', role: 'ADMIN', friends: ['u2', 'u3'], pet: { __typename: 'Dog', name: 'Rex', barks: 3 } },
  { id: 'u2', name: 'Bo "q" \\ \u2028 é 😀', role: 'GUEST', friends: [], pet: null },
  { id: 'u3', name: null, role: null, friends: ['u1'], pet: { __typename: 'Cat', name: 'Tom', lives: 9 } },
];
const PRODUCTS = [
  { upc: 'p1', name: 'Table', price: 10, weight: 4, size: { w: 1, h: 2.5 }, maker: 'u1', tags: ['a', 'b'] },
  { upc: 'p2', name: 'Chair', price: null, weight: 7, size: null, maker: 'u2', tags: [] },
  { upc: 'p3', name: 'Lamp', price: 30, weight: null, size: { w: null, h: 0 }, maker: null, tags: null },
];
const MEDIA = [
  { __typename: 'Book', id: 'm1', title: 'One', pages: 100, about: ['p1', 'p2'] },
  { __typename: 'Film', id: 'm2', title: 'Two', minutes: 90, about: [] },
  { __typename: 'Book', id: 'm3', title: null, pages: null, about: ['p3'] },
];
const REVIEWS = [
  { id: 'r1', stars: 5, author: 'u1', media: 'm1', product: 'p1' },
  { id: 'r2', stars: 1, author: 'u2', media: 'm2', product: 'p1' },
  { id: 'r3', stars: null, author: 'u3', media: null, product: 'p3' },
  { id: 'r4', stars: 2, author: 'u1', media: 'm1', product: null },
];

type Row = Readonly<Record<string, unknown>>;
type Resolver = (parent: Row, args: Row) => unknown;

const find = (rows: readonly Row[], key: string, value: unknown): Row | null =>
  rows.find((row) => row[key] === value) ?? null;
const user = (id: unknown) => find(USERS, 'id', id);
const product = (upc: unknown) => find(PRODUCTS, 'upc', upc);
const media = (id: unknown) => find(MEDIA, 'id', id);

const priceOf: Resolver = (row, { currency }) => {
  const price = product(row['upc'])?.['price'];
  return typeof price === 'number' ? price * (currency === 'EUR' ? 2 : 1) : null;
};
const shippingOf = (price: unknown, weight: unknown) =>
  typeof price === 'number' && typeof weight === 'number' ? price + weight : -1;

/** Fields of the whole, each as one function of its object's key: what every cut through the graph has to agree with. */
export const FIELDS: Readonly<Record<string, Readonly<Record<string, Resolver>>>> = {
  Query: {
    users: () => USERS,
    user: (_, { id }) => user(id),
    products: () => PRODUCTS,
    product: (_, { upc }) => product(upc),
    media: () => MEDIA,
    things: () => [MEDIA[0], { __typename: 'Product', ...PRODUCTS[0] }, null, MEDIA[1]],
    reviews: (_, { first }) => REVIEWS.slice(0, first as number),
    version: () => 7,
  },
  User: {
    friends: ({ id }) => ((user(id)?.['friends'] ?? []) as string[]).map(user),
    reviews: ({ id }) => REVIEWS.filter(({ author }) => author === id),
    badge: ({ id }) => {
      if (id === 'u2') throw new Error('no badge');
      return `badge ${String(id)}`;
    },
    score: ({ id }) => (id === 'u3' ? null : String(id).length),
  },
  Product: {
    price: priceOf,
    maker: ({ upc }) => user(product(upc)?.['maker']),
    reviews: ({ upc }) => REVIEWS.filter(({ product: of }) => of === upc),
    shipping: ({ upc }) => shippingOf(priceOf({ upc }, { currency: 'USD' }), product(upc)?.['weight']),
    shippingEur: ({ upc }) => shippingOf(priceOf({ upc }, { currency: 'EUR' }), product(upc)?.['weight']),
    area: ({ upc }) => {
      const size = product(upc)?.['size'] as { w: number | null; h: number } | null | undefined;
      return size === null || size === undefined ? null : (size.w ?? 0) * size.h;
    },
    stock: ({ upc }) => ({ upc, count: String(upc).length, product: product(upc) }),
  },
  Media: {
    reviews: ({ id }) => REVIEWS.filter((review) => review.media === id),
    rating: ({ id }) => REVIEWS.find((review) => review.media === id)?.stars ?? null,
    about: ({ id }) => ((media(id)?.['about'] ?? []) as string[]).map(product),
  },
  Review: {
    author: ({ id }) => user(find(REVIEWS, 'id', id)?.['author']),
    media: ({ id }) => media(find(REVIEWS, 'id', id)?.['media']),
    product: ({ id }) => product(find(REVIEWS, 'id', id)?.['product']),
  },
};

const TYPES = `
  enum Role { ADMIN GUEST }
  interface Pet { name: String! }
  type Dog implements Pet { name: String! barks: Int }
  type Cat implements Pet { name: String! lives: Int }`;

/** The graph as one schema, executed by graphql-js. */
export const MONOLITH = makeExecutableSchema(
  `${TYPES}
  type Query {
    users: [User!]! user(id: ID!): User products: [Product] product(upc: String!): Product media: [Media!]
    things: [Thing] reviews(first: Int = 2): [Review!] version: Int!
  }
  union Thing = Book | Film | Product
  type User {
    id: ID! name: String role: Role friends: [User!]! pet: Pet reviews: [Review] badge: String! score: Int!
  }
  type Product {
    upc: String! name: String price(currency: String = "USD"): Int weight: Int size: Size tags: [String!] maker: User
    reviews: [Review!] shipping: Int shippingEur: Int area: Float stock: Stock!
  }
  type Size { w: Int h: Float }
  type Stock { upc: String! count: Int! product: Product }
  interface Media { id: ID! title: String reviews: [Review!]! rating: Int about: [Product] }
  type Book implements Media { id: ID! title: String pages: Int reviews: [Review!]! rating: Int about: [Product] }
  type Film implements Media { id: ID! title: String minutes: Int reviews: [Review!]! rating: Int about: [Product] }
  type Review { id: ID! stars: Int author: User! media: Media product: Product }`,
  FIELDS,
);

const byKey = (rows: (key: unknown) => Row | null, key: string) => ({
  __resolveReference: (representation: Row) => {
    const row = rows(representation[key]);
    return row === null
      ? null
      : { ...row, ...representation, ...(row['__typename'] === undefined ? {} : { __typename: row['__typename'] }) };
  },
});
const only = (type: string, names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, FIELDS[type]?.[name]]));

/** The same graph cut into five subgraphs. */
export const SUBGRAPHS: Readonly<Record<string, TestSubgraph>> = {
  accounts: {
    sdl: `${TYPES}
      type Query { users: [User!]! user(id: ID!): User version: Int! @shareable }
      type User @key(fields: "id") { id: ID! name: String role: Role friends: [User!]! pet: Pet }`,
    resolvers: {
      Query: only('Query', ['users', 'user', 'version']),
      User: { ...byKey(user, 'id'), ...only('User', ['friends']) },
    },
  },
  badges: {
    sdl: `type User @key(fields: "id") { id: ID! badge: String! score: Int! }
      type Query { version: Int! @shareable }`,
    resolvers: {
      Query: only('Query', ['version']),
      User: { ...byKey(user, 'id'), ...only('User', ['badge', 'score']) },
    },
  },
  catalog: {
    sdl: `
      type Query {
        products: [Product] product(upc: String!): Product media: [Media!] things: [Thing]
      }
      union Thing = Book | Film | Product
      type Product @key(fields: "upc") {
        upc: String! name: String price(currency: String = "USD"): Int weight: Int size: Size tags: [String!] maker: User
      }
      type Size { w: Int h: Float }
      type User @key(fields: "id", resolvable: false) { id: ID! }
      interface Media @key(fields: "id") { id: ID! title: String about: [Product] }
      type Book implements Media @key(fields: "id") { id: ID! title: String pages: Int about: [Product] }
      type Film implements Media @key(fields: "id") { id: ID! title: String minutes: Int about: [Product] }`,
    resolvers: {
      Query: only('Query', ['products', 'product', 'media', 'things']),
      Product: { ...byKey(product, 'upc'), ...only('Product', ['price', 'maker']) },
      Media: byKey(media, 'id'),
      Book: { ...byKey(media, 'id'), ...only('Media', ['about']) },
      Film: { ...byKey(media, 'id'), ...only('Media', ['about']) },
    },
  },
  stock: {
    sdl: `
      type Product @key(fields: "upc") {
        upc: String! price(currency: String = "USD"): Int @external weight: Int @external size: Size @external
        shipping: Int @requires(fields: "price(currency: \\"USD\\") weight")
        shippingEur: Int @requires(fields: "price(currency: \\"EUR\\") weight")
        area: Float @requires(fields: "size { w h }")
        stock: Stock!
      }
      type Size @external { w: Int h: Float }
      type Stock { upc: String! count: Int! product: Product }`,
    resolvers: {
      Product: {
        __resolveReference: (representation: Row) => representation,
        shipping: ({ price, weight }: Row) => shippingOf(price, weight),
        shippingEur: ({ price, weight }: Row) => shippingOf(price, weight),
        area: ({ size }: Row) => {
          const { w, h } = (size ?? {}) as { w?: number | null; h?: number };
          return h === undefined ? null : (w ?? 0) * h;
        },
        ...only('Product', ['stock']),
      },
    },
  },
  reviews: {
    sdl: `
      type Query { reviews(first: Int = 2): [Review!] }
      type Review @key(fields: "id") { id: ID! stars: Int author: User! media: Media product: Product }
      type User @key(fields: "id") { id: ID! reviews: [Review] }
      type Product @key(fields: "upc") { upc: String! reviews: [Review!] }
      type Media @key(fields: "id") @interfaceObject { id: ID! reviews: [Review!]! rating: Int }`,
    resolvers: {
      Query: only('Query', ['reviews']),
      Review: only('Review', ['author', 'media', 'product']),
      User: { __resolveReference: (row: Row) => row, ...only('User', ['reviews']) },
      Product: { __resolveReference: (row: Row) => row, ...only('Product', ['reviews']) },
      Media: { __resolveReference: ({ id }: Row) => ({ id }), ...only('Media', ['reviews', 'rating']) },
    },
  },
};
