/** One demo tenant of the credentials file. */
export interface Tenant {
  readonly id: string;
  readonly slug: string;
  readonly admin: string;
  readonly member: string;
  readonly partner: string;
  readonly scim: string;
  readonly auditor: string;
}

/** What the steps of a tour share. */
export interface Tour {
  readonly url: string;
  /** Makes the names of this run different from those of the one before. */
  readonly run: string;
  readonly tenants: Readonly<Record<'acme' | 'globex' | 'initech', Tenant>>;
  /** Prints a fact that a step found. */
  readonly say: (fact: string) => void;
  /** What earlier steps made and later ones need. */
  readonly found: Map<string, string>;
}

/** An answer of the platform. */
export interface Answer<Body = unknown> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

/** Sends a request and reads the answer as JSON, or as text where it is none. */
export async function send<Body>(
  tour: Tour,
  path: string,
  options: { token?: string; method?: string; type?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer<Body>> {
  const { token, method = options.body === undefined ? 'GET' : 'POST', type = 'application/json', body } = options;
  const response = await fetch(`${tour.url}${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': type }),
      ...options.headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: (/[/+]json(;|$)/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : text) as Body,
  };
}

/** A GraphQL answer. */
export interface GraphqlBody<Data> {
  readonly data?: Data | null;
  readonly errors?: readonly { readonly message: string; readonly extensions: { readonly code: string } }[];
  readonly extensions?: {
    readonly cost?: {
      readonly requestedQueryCost: number;
      readonly throttleStatus: { readonly currentlyAvailable: number };
    };
  };
}

/** Runs a GraphQL operation that must succeed and returns its data. */
export async function graphql<Data>(tour: Tour, token: string, query: string, variables: object = {}): Promise<Data> {
  const { body } = await send<GraphqlBody<Data>>(tour, '/graphql', { token, body: { query, variables } });
  if (body.errors !== undefined || body.data == null)
    throw new Error(`GraphQL: ${JSON.stringify(body.errors ?? body)}`);
  return body.data;
}

/** Fails the step with the sentence unless the condition holds. */
export function must(condition: boolean, sentence: string): asserts condition {
  if (!condition) throw new Error(sentence);
}

/** Asks again until there is an answer, at most for the time given. */
export async function until<T>(what: string, seconds: number, ask: () => Promise<T | null>): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (Date.now() > end) throw new Error(`${what} did not come in ${seconds} s`);
    await new Promise((resolve) => {
      setTimeout(resolve, 200);
    });
  }
}
