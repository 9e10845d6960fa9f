import { hash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { RequestContext } from '#kit/request-context.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { ask, codeOf, dataOf, openAudit, without } from './audit-platform.ts';

const REQUEST =
  'mutation ($input: RequestEvidenceInput!) { requestEvidence(input: $input) { pack { id kind state from to subject { id } requestedBy downloadUrl } } }';
const PACKS =
  'query ($first: Int, $after: String) { evidencePacks(first: $first, after: $after) { edges { node { id state } } pageInfo { hasNextPage endCursor } } }';
const PACK = 'query ($id: ID!) { evidencePack(id: $id) { id state sizeBytes sha256 failure downloadUrl } }';
const WINDOW = { from: '2026-01-01T00:00:00.000Z', to: '2026-04-01T00:00:00.000Z' };

type Requested = { requestEvidence: { pack: { id: string } } };
type Packs = {
  evidencePacks: { edges: { node: { id: string } }[]; pageInfo: { hasNextPage: boolean; endCursor: string } };
};

const house = await openAudit();
const { ctx } = await house.addTenant('acme');

const post = (by: RequestContext, body: unknown, type = 'application/json') =>
  house.fetch(by, '/v1/evidence', {
    method: 'POST',
    headers: { 'content-type': type },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const request = async (by: RequestContext) =>
  (await dataOf<Requested>(ask(by, REQUEST, { input: { kind: 'SOC2', ...WINDOW } }))).requestEvidence.pack.id;

/** Finishes a pack as the worker does: bytes in pieces, then the state. */
async function build(id: string, pieces: readonly Buffer[], sizeBytes?: number): Promise<Buffer> {
  const bytes = Buffer.concat(pieces);
  const uuid = uuidOf('evd', id);
  for (const [number, piece] of pieces.entries()) {
    await house.peek(
      'eu-1 audit',
      'insert into evidence_chunks (tenant_id, pack_id, number, bytes) select tenant_id, id, $2, $3 from evidence_packs where id = $1',
      [uuid, number, piece],
    );
  }
  await house.peek(
    'eu-1 audit',
    `update evidence_packs set state = 'ready', finished_at = now(), size_bytes = $2, sha256 = $3 where id = $1`,
    [uuid, sizeBytes ?? bytes.length, hash('sha256', bytes, 'buffer')],
  );
  return bytes;
}

describe('a request for evidence', () => {
  it('through the graph is recorded and waits for the worker', async () => {
    const subject = mintId('usr');
    const { requestEvidence } = await dataOf<{ requestEvidence: { pack: { id: string } } }>(
      ask(ctx, REQUEST, { input: { kind: 'GDPR_ACCESS', subject, ...WINDOW } }),
    );
    expect(requestEvidence.pack).toMatchObject({
      kind: 'GDPR_ACCESS',
      state: 'REQUESTED',
      ...WINDOW,
      subject: { id: subject },
      requestedBy: ctx.tenant.actor.id,
      downloadUrl: null,
    });
    expect((await house.written(ctx)).at(-1)).toMatchObject({
      action: 'evidence.request',
      resource: { type: 'evidence_pack', id: requestEvidence.pack.id },
      context: { kind: 'gdpr_access', subject, ...WINDOW },
    });
  });

  it('through REST is the same', async () => {
    const answer = await post(ctx, { kind: 'soc2', from: '2026-01-01', to: '2026-04-01' });
    const pack = (await answer.json()) as { id: string };
    expect([answer.status, answer.headers.get('location')]).toEqual([202, `http://tenon.test/v1/evidence/${pack.id}`]);
    expect(pack).toMatchObject({ kind: 'soc2', state: 'requested', subject: null, ...WINDOW });
    expect((await house.written(ctx)).at(-1)).toMatchObject({ action: 'evidence.request', resource: { id: pack.id } });
    const state = await house.fetch(ctx, `/v1/evidence/${pack.id}`);
    expect([state.status, await state.json()]).toEqual([200, pack]);
  });

  it.each([
    [{ kind: 'soc2', from: '2026-04-01', to: '2026-01-01' }, 400, 'BAD_USER_INPUT'],
    [{ kind: 'soc2', from: '2026-01-01', to: '2026-01-01' }, 400, 'BAD_USER_INPUT'],
    [{ kind: 'soc2', from: '2026-01-01', to: '2026-04-01', subject: mintId('usr') }, 400, 'BAD_USER_INPUT'],
    [{ kind: 'gdpr_access', from: '2026-01-01', to: '2026-04-01' }, 400, 'BAD_USER_INPUT'],
    [{ kind: 'gdpr_access', from: '2026-01-01', to: '2026-04-01', subject: mintId('doc') }, 400, 'BAD_USER_INPUT'],
    [{ kind: 'soc3', from: '2026-01-01', to: '2026-04-01' }, 400, 'BAD_USER_INPUT'],
    [{ kind: 'soc2', from: '2026-01-01' }, 400, 'BAD_USER_INPUT'],
    [{ kind: 'soc2', from: '2026-01-01', to: '2026-04-01', tenant_id: 'other' }, 400, 'BAD_USER_INPUT'],
    [{ kind: 'soc2', from: '2026-01-01', to: 5 }, 400, 'BAD_USER_INPUT'],
    ['[]', 400, 'BAD_USER_INPUT'],
    ['null', 400, 'BAD_USER_INPUT'],
    ['{"kind":', 400, 'BAD_REQUEST'],
    ['', 400, 'BAD_REQUEST'],
  ])('%j is refused with %i %s, unrecorded', async (body, status, code) => {
    const before = (await house.written(ctx)).length;
    const answer = await post(ctx, body);
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([status, code]);
    expect(await house.written(ctx)).toHaveLength(before);
  });

  it('of another content type is refused', async () => {
    expect((await post(ctx, 'kind=soc2', 'application/x-www-form-urlencoded')).status).toBe(415);
  });

  it('waits its turn: the twenty-first unfinished one is CONFLICT', async () => {
    const { ctx: eager } = await house.addTenant('eager');
    for (let count = 0; count < 20; count++) await request(eager);
    expect(await codeOf(ask(eager, REQUEST, { input: { kind: 'SOC2', ...WINDOW } }))).toBe('CONFLICT');
    expect(await house.written(eager)).toHaveLength(20);
  });
});

describe('the packs of a tenant', () => {
  it('come newest first, page by page, in the graph and in REST', async () => {
    const { ctx: owner } = await house.addTenant('owner');
    const ids = [await request(owner), await request(owner), await request(owner)].toReversed();
    const first = await dataOf<Packs>(ask(owner, PACKS, { first: 2 }));
    const second = await dataOf<Packs>(ask(owner, PACKS, { first: 2, after: first.evidencePacks.pageInfo.endCursor }));
    expect([...first.evidencePacks.edges, ...second.evidencePacks.edges].map(({ node }) => node.id)).toEqual(ids);
    const list = (await (await house.fetch(owner, '/v1/evidence?first=2')).json()) as {
      packs: { id: string }[];
      next: string;
    };
    const rest = (await (await house.fetch(owner, `/v1/evidence?first=2&after=${list.next}`)).json()) as typeof list;
    expect([...list.packs, ...rest.packs].map(({ id }) => id)).toEqual(ids);
    expect(rest.next).toBeNull();
    expect((await house.fetch(owner, '/v1/evidence?first=many')).status).toBe(400);
    expect((await house.fetch(owner, '/v1/evidence?after=bm9uc2Vuc2U')).status).toBe(400);
  });
});

describe('the bytes of a pack', () => {
  it('come whole, with their digest, and the download is recorded', async () => {
    const id = await request(ctx);
    const bytes = await build(id, [randomBytes(1_048_576), randomBytes(1_048_576), randomBytes(17)]);
    const answer = await house.fetch(ctx, `/v1/evidence/${id}/pack.zip`);
    expect([answer.status, answer.headers.get('content-type'), answer.headers.get('content-length')]).toEqual([
      200,
      'application/zip',
      String(bytes.length),
    ]);
    expect(answer.headers.get('repr-digest')).toBe(`sha-256=:${hash('sha256', bytes, 'buffer').toString('base64')}:`);
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
    expect((await house.written(ctx)).at(-1)).toMatchObject({
      action: 'evidence.download',
      resource: { id },
      context: { kind: 'soc2', sha256: hash('sha256', bytes) },
    });
    const { evidencePack } = await dataOf<{ evidencePack: object }>(ask(ctx, PACK, { id }));
    expect(evidencePack).toEqual({
      id,
      state: 'READY',
      sizeBytes: bytes.length,
      sha256: hash('sha256', bytes),
      failure: null,
      downloadUrl: `http://tenon.test/v1/evidence/${id}/pack.zip`,
    });
  });

  it('are NOT_FOUND until the pack is ready, and nothing is recorded', async () => {
    const id = await request(ctx);
    const before = (await house.written(ctx)).length;
    expect((await house.fetch(ctx, `/v1/evidence/${id}/pack.zip`)).status).toBe(404);
    await house.peek(
      'eu-1 audit',
      `update evidence_packs set state = 'failed', failure = 'the archive is away' where id = $1`,
      [uuidOf('evd', id)],
    );
    expect((await house.fetch(ctx, `/v1/evidence/${id}/pack.zip`)).status).toBe(404);
    expect(await dataOf(ask(ctx, PACK, { id }))).toMatchObject({
      evidencePack: { state: 'FAILED', failure: 'the archive is away' },
    });
    await build(id, [randomBytes(10)]);
    await house.peek('eu-1 audit', `update evidence_packs set state = 'failed' where id = $1`, [uuidOf('evd', id)]);
    expect((await house.fetch(ctx, `/v1/evidence/${id}/pack.zip`)).status).toBe(404);
    expect(await house.written(ctx)).toHaveLength(before);
  });

  it('break off when a piece is missing, instead of ending as if they were whole', async () => {
    const id = await request(ctx);
    await build(id, [randomBytes(100)], 200);
    const answer = await house.fetch(ctx, `/v1/evidence/${id}/pack.zip`);
    await expect(answer.arrayBuffer()).rejects.toThrow();
  });
});

describe('another tenant', () => {
  it('gets no pack of this one, and cannot tell it from none', async () => {
    const { ctx: stranger } = await house.addTenant('stranger');
    const id = await request(ctx);
    await build(id, [randomBytes(10)]);
    for (const foreign of [id, mintId('evd'), 'nonsense']) {
      expect((await house.fetch(stranger, `/v1/evidence/${foreign}`)).status).toBe(404);
      expect((await house.fetch(stranger, `/v1/evidence/${foreign}/pack.zip`)).status).toBe(404);
      expect(await dataOf(ask(stranger, PACK, { id: foreign }))).toEqual({ evidencePack: null });
    }
    expect((await dataOf<Packs>(ask(stranger, PACKS))).evidencePacks.edges).toEqual([]);
    expect(((await (await house.fetch(stranger, '/v1/evidence')).json()) as { packs: [] }).packs).toEqual([]);
  });
});

describe('a right that is missing', () => {
  it('closes asking and fetching, each by its own', async () => {
    const id = await request(ctx);
    const [noWrite, noRead] = [without(ctx, 'evidence:write'), without(ctx, 'evidence:read')];
    expect(await codeOf(ask(noWrite, REQUEST, { input: { kind: 'SOC2', ...WINDOW } }))).toBe('FORBIDDEN');
    expect((await post(noWrite, { kind: 'soc2', ...WINDOW })).status).toBe(403);
    expect(await codeOf(ask(noRead, PACKS))).toBe('FORBIDDEN');
    expect(await codeOf(ask(noRead, PACK, { id }))).toBe('FORBIDDEN');
    for (const path of ['', `/${id}`, `/${id}/pack.zip`])
      expect((await house.fetch(noRead, `/v1/evidence${path}`)).status).toBe(403);
  });
});
