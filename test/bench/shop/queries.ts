/** An operation that is measured. */
export interface ShopQuery {
  readonly name: 'small' | 'medium' | 'nested';
  readonly text: string;
}

/** From one call for five fields to four dependent levels and an answer of some 85 kB. */
export const SHOP_QUERIES: readonly ShopQuery[] = [
  { name: 'small', text: 'query Small { me { id name username birthday __typename } }' },
  { name: 'medium', text: 'query Medium { topProducts(first: 20) { upc name price inStock shippingEstimate } }' },
  {
    name: 'nested',
    text: `fragment User on User { id username name }
fragment Review on Review { id body }
fragment Product on Product { inStock name price shippingEstimate upc weight }
query Nested {
  users {
    ...User
    reviews { ...Review product { ...Product reviews { ...Review author { ...User reviews { ...Review product { ...Product } } } } } }
  }
  topProducts {
    ...Product
    reviews { ...Review author { ...User reviews { ...Review product { ...Product } } } }
  }
}`,
  },
];
