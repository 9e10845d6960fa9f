/** A request made to hurt: what it is refused with, or that answering it is harmless. */
export interface HostileRequest {
  readonly name: string;
  readonly query: string;
  /** As JSON text: some nest deeper than anything recursive can write. */
  readonly variablesJson?: string;
  /** A code of the error table, or `answered` where the request is small work in whatever form it comes. */
  readonly expected: string;
}

/** Returns a request of the corpus; variables are a value, or text that is JSON already. */
export function request(name: string, query: string, expected: string, variables?: unknown): HostileRequest {
  if (variables === undefined) return { name, query, expected };
  return {
    name,
    query,
    expected,
    variablesJson: typeof variables === 'string' ? variables : JSON.stringify(variables),
  };
}

/** Returns as many pieces of text with a space between. */
export function many(count: number, write: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => write(index)).join(' ');
}
