/** Places that open connections of their own, each with what stands in for the tenant there. */
export const OPENERS: Readonly<Record<string, string>>;
/** Places that take a pool of a cell instead of a transaction of a tenant. */
export const POOL_TAKERS: Readonly<Record<string, string>>;
/** Places of gateway and subgraphs that say statements beside a transaction of a tenant. */
export const SPEAKERS: Readonly<Record<string, string>>;

declare const plugin: { readonly meta: { readonly name: string }; readonly rules: Readonly<Record<string, object>> };
export default plugin;
