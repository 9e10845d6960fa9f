import { readFileSync } from 'node:fs';
import { graphql, must, send, until, type GraphqlBody, type Tour } from './client.ts';

const FIVE = `query Five {
  tenant { slug tier region }
  viewer { user { displayName } }
  projects(first: 3) { edges { node { name documents(first: 3) { edges { node { name author { userName } } } } } } }
  pricePlan { name }
  auditEvents(first: 3) { edges { node { action actor { id user { userName } } } } }
}`;

/** One query over all five subgraphs: an author of a document is a user, an actor of an event too. */
export async function federatedQuery(tour: Tour): Promise<void> {
  const alice = tour.found.get('alice-session') ?? '';
  const { createProject } = await graphql<{ createProject: { project: { id: string } } }>(
    tour,
    alice,
    'mutation ($name: String!) { createProject(input: { name: $name }) { project { id } } }',
    { name: `Roadmap ${tour.run}` },
  );
  const { createDocument } = await graphql<{ createDocument: { document: { id: string } } }>(
    tour,
    alice,
    'mutation ($input: CreateDocumentInput!) { createDocument(input: $input) { document { id } } }',
    { input: { projectId: createProject.project.id, name: 'Q1 plan' } },
  );
  const { shareDocument } = await graphql<{ shareDocument: { auditEventId: string } }>(
    tour,
    alice,
    'mutation ($input: ShareDocumentInput!) { shareDocument(input: $input) { auditEventId } }',
    { input: { documentId: createDocument.document.id, to: 'bob@vendor.example', permission: 'COMMENT' } },
  );
  tour.found.set('event', shareDocument.auditEventId);
  const answer = await graphql<object>(tour, tour.tenants.acme.admin, FIVE);
  must(JSON.stringify(answer).includes(`alice.${tour.run}@acme.example`), 'the author did not come from identity');
  tour.say('tenants, identity, product, billing and audit answered as one graph');
}

/** A partner runs what is registered for her client, and nothing else. */
export async function partnerIsBound(tour: Tour): Promise<void> {
  const { partner } = tour.tenants.acme;
  const file = new URL('../../schema/operations/partner-app.json', import.meta.url);
  const { operations } = JSON.parse(readFileSync(file, 'utf8')) as { operations: { id: string; name: string }[] };
  const documentId = operations.find(({ name }) => name === 'PartnerProjects')?.id;
  const allowed = await send<GraphqlBody<object>>(tour, '/graphql', {
    token: partner,
    body: { documentId, variables: { first: 2 } },
  });
  must(
    allowed.status === 200 && allowed.body.errors === undefined,
    `the registered operation answered ${allowed.status}`,
  );
  const own = await send<GraphqlBody<object>>(tour, '/graphql', {
    token: partner,
    body: { query: '{ users(first: 1) { edges { cursor } } }' },
  });
  const unknown = await send<GraphqlBody<object>>(tour, '/graphql', {
    token: partner,
    body: { documentId: 'f'.repeat(64) },
  });
  const codes = [own, unknown].map(({ body }) => body.errors?.[0]?.extensions.code);
  must(codes.join() === 'PERSISTED_QUERY_ID_REQUIRED,PERSISTED_QUERY_NOT_IN_LIST', `refusals were ${codes.join()}`);
  tour.say('PartnerProjects by its id -> 200; a document of her own -> 400; an unknown id -> 403');
}

/** A budget runs out for one tenant, says when to come back, and fills again. */
export async function budgetRunsOut(tour: Tour): Promise<void> {
  const spend = () =>
    send<GraphqlBody<object>>(tour, '/graphql', {
      token: tour.tenants.initech.member,
      body: { query: 'mutation { createProject(input: { name: "spent" }) { project { id } } }' },
    });
  let refused: Awaited<ReturnType<typeof spend>> | undefined;
  for (let round = 0; round < 100 && refused === undefined; round++) {
    refused = (await Promise.all(Array.from({ length: 10 }, spend))).find(({ status }) => status === 429);
  }
  must(refused !== undefined, 'the budget never ran out');
  const retryAfter = Number(refused.headers.get('retry-after'));
  must(retryAfter >= 1, 'there is no Retry-After');
  must(
    (await send(tour, '/graphql', { token: tour.tenants.globex.member, body: { query: '{ tenant { slug } }' } }))
      .status === 200,
    'another tenant was refused too',
  );
  await until('the refill', retryAfter + 5, async () => ((await spend()).status === 200 ? true : null));
  tour.say(
    `initech: 429 THROTTLED, retry-after ${retryAfter} s, ratelimit ${refused.headers.get('ratelimit')}; refilled; globex felt nothing`,
  );
}

/** Usage is metered once a key, rated exactly, and lands on a draft invoice with a PDF. */
export async function usageIsBilled(tour: Tour): Promise<void> {
  const { partner, admin } = tour.tenants.acme;
  const now = new Date();
  const event = {
    metric: 'tokens_used',
    value: 12_345_678,
    timestamp: now.toISOString(),
    idempotency: `tour-${tour.run}`,
    metadata: { model: 'gpt-5', feature: 'chat' },
  };
  const first = await send<{ accepted: number; duplicates: number }>(tour, '/v1/usage', {
    token: partner,
    body: [event],
  });
  const second = await send<{ accepted: number; duplicates: number }>(tour, '/v1/usage', {
    token: partner,
    body: [event],
  });
  const other = await send<{ code: string }>(tour, '/v1/usage', { token: partner, body: [{ ...event, value: 9 }] });
  must(
    first.body.accepted === 1 && second.body.duplicates === 1,
    `accepted ${JSON.stringify(first.body)}, then ${JSON.stringify(second.body)}`,
  );
  must(other.body.code === 'IDEMPOTENCY_CONFLICT', `another body under the key answered ${other.status}`);
  const periodStart = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)).toISOString();
  const periodEnd = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)).toISOString();
  const { draftInvoice } = await graphql<{
    draftInvoice: {
      invoice: { id: string; number: string; lines: { metric: string; quantity: string; amount: string }[] };
    };
  }>(
    tour,
    admin,
    'mutation ($input: DraftInvoiceInput!) { draftInvoice(input: $input) { invoice { id number lines { metric quantity amount } } } }',
    { input: { periodStart, periodEnd } },
  );
  const { invoice } = draftInvoice;
  const line = invoice.lines.find(({ metric }) => metric === 'tokens_used');
  must(line !== undefined, 'the invoice has no line for the tokens');
  const pdf = await send<string>(tour, `/v1/invoices/${invoice.id}/pdf`, { token: admin });
  must(pdf.status === 200 && pdf.body.startsWith('%PDF'), `the PDF answered ${pdf.status}`);
  tour.say(
    `${invoice.number}: ${line.quantity} tokens = ${line.amount}; repeated event counted once; PDF of ${pdf.body.length} characters`,
  );
}
