import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { requestContext } from '#kit/request-context.ts';
import { parseVerifierKey } from '#schema/signed-note.ts';
import { keyOf, verifyExport } from '../../../compliance/verifier/tenon-verify.mjs';
import { verifyExportFile } from '../../../compliance/verify/export.ts';
import { beginLog } from '../../support/audit-log.ts';
import { TEST_SIGNING_KEY } from '../../support/signing-key.ts';
import { exportCsv, exportNdjson } from '../../../subgraphs/audit/export.ts';
import { openAudit, without } from './audit-platform.ts';

const NDJSON = '/v1/audit/events.ndjson';
const CSV = '/v1/audit/events.csv';

const house = await openAudit();
const { ctx, log } = await house.addTenant('acme');
await log.append(
  Array.from({ length: 1200 }, (_, index) => ({ action: index % 3 === 0 ? 'document.share' : 'user.create' })),
);

const linesOf = (text: string) => text.split('\n').filter((line) => line !== '');

/** Transactions until the first page is out: the head of the log, what is found, its proofs. */
const FIRST_PAGE = 3;

describe('the NDJSON export', () => {
  it('holds every entry in the order of the log, byte for byte as hashed', async () => {
    const answer = await house.fetch(ctx, NDJSON);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
    const lines = linesOf(await answer.text());
    expect(lines).toEqual(
      log.entries.map(
        ({ text, leaf }) =>
          `{"entry":${text},"epoch":1,"leaf":"${leaf.toString('hex')}","proof":null,"tree_size":null}`,
      ),
    );
    expect(JSON.parse(lines[7] ?? '')).toMatchObject({ entry: { seq: 7, event: { id: log.entries[7]?.event.id } } });
  });

  it('takes the filters of the graph', async () => {
    const answer = await house.fetch(
      ctx,
      `${NDJSON}?action=document.share&from=2026-01-01T01:00:00Z&to=2026-01-01T03:00:00%2B01:00`,
    );
    const seqs = linesOf(await answer.text()).map((line) => (JSON.parse(line) as { entry: { seq: number } }).entry.seq);
    expect(seqs).toEqual(Array.from({ length: 20 }, (_, index) => 60 + 3 * index));
  });

  it('ends where the log ended when it began, however much is appended on the way', async () => {
    const { ctx: busy, log: growing } = await house.addTenant('busy');
    await growing.append(Array.from({ length: 700 }, () => ({})));
    const stream = await exportNdjson(busy, {});
    const chunks: string[] = [];
    for await (const chunk of stream) {
      if (chunks.length === 0) await growing.append(Array.from({ length: 100 }, () => ({})));
      chunks.push(String(chunk));
    }
    expect(linesOf(chunks.join(''))).toHaveLength(700);
  });

  it('holds no transaction while the caller is slow, and reads no page ahead of her', async () => {
    let transactions = 0;
    const pool = house.platform.databases.auditPool('eu-1');
    const databases = { ...house.platform.databases, auditPool: () => (transactions++, pool) };
    const stream = await exportNdjson(requestContext({ ...house.platform, databases }, ctx.tenant), {});
    const lines = stream[Symbol.asyncIterator]();
    await lines.next();
    expect([transactions, pool.totalCount - pool.idleCount]).toEqual([FIRST_PAGE, 0]);
    stream.destroy();
  });

  it('goes through the logs of all epochs', async () => {
    const { ctx: moved, log: older } = await house.addTenant('moved');
    await older.append([{}, {}]);
    const newer = beginLog({
      url: house.stores.url('eu-1 audit', 'tenon_worker'),
      tenant: moved.tenant.tenant,
      epoch: 2,
    });
    await newer.append([{}]);
    const text = (await buffer(await exportNdjson(moved, {}))).toString();
    expect(linesOf(text)).toHaveLength(3);
    expect(linesOf(text)[2]).toContain(newer.entries[0]?.event.id);
  });

  it('breaks off instead of ending early when the database goes away, and so does the CSV export', async () => {
    const pool = house.platform.databases.auditPool('eu-1');
    for (const begin of [exportNdjson, exportCsv]) {
      let opened = 0;
      const auditPool = () => {
        if (++opened > 2) throw new TypeError('away');
        return pool;
      };
      const databases = { ...house.platform.databases, auditPool };
      const stream = await begin(requestContext({ ...house.platform, databases }, ctx.tenant), {});
      await expect(buffer(stream)).rejects.toThrow('away');
    }
  });

  it('stops reading when the caller goes away, and so does the CSV export', async () => {
    const pool = house.platform.databases.auditPool('eu-1');
    for (const begin of [exportNdjson, exportCsv]) {
      let transactions = 0;
      const databases = { ...house.platform.databases, auditPool: () => (transactions++, pool) };
      const stream = await begin(requestContext({ ...house.platform, databases }, ctx.tenant), {});
      await stream[Symbol.asyncIterator]().next();
      stream.destroy();
      await finished(stream).catch(() => undefined);
      expect(transactions).toBe(FIRST_PAGE);
    }
  });
});

describe('the CSV export', () => {
  it('has a header, ISO times and a line for every entry', async () => {
    const answer = await house.fetch(ctx, `${CSV}?action=document.share`);
    expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    const lines = (await answer.text()).split('\r\n');
    expect(lines[0]).toBe(
      'epoch,seq,ts,id,action,action_version,outcome,actor_type,actor_id,actor_ip,actor_ua,resource_type,resource_id,resource_name,context,session_id,request_id,leaf,tlog_proof',
    );
    expect(lines).toHaveLength(402);
    const [first] = log.entries;
    expect(lines[1]).toBe(
      `1,0,2026-01-01T00:00:00.000Z,${first?.event.id},document.share,1,success,system,test,,,thing,thing-0,,{},,req_0,${first?.leaf.toString('hex')},`,
    );
  });

  it('has its header also when it is empty', async () => {
    const { ctx: silent } = await house.addTenant('silent');
    expect(await (await house.fetch(silent, CSV)).text()).toMatch(/^epoch,seq,[^\n]*\r\n$/);
  });

  it('cannot run a formula or break out of its cell', async () => {
    const { ctx: hostile, log: hers } = await house.addTenant('hostile');
    await hers.append([
      {
        resource: { name: '=HYPERLINK("http://evil.example")' },
        actor: { ua: '+1,\r\n"x"' },
        context: { cell: '@SUM(A1)' },
      },
    ]);
    const text = await (await house.fetch(hostile, CSV)).text();
    expect(text).toContain(`"'=HYPERLINK(""http://evil.example"")"`);
    expect(text).toContain(`"'+1,\r\n""x"""`);
    expect(text.split('\r\n').filter((line) => line.startsWith('1,'))).toHaveLength(1);
  });
});

describe('a sealed log', () => {
  const key = keyOf(TEST_SIGNING_KEY.verifierKey);
  const verdicts = (text: string) => {
    const { integrity, completeness, entries } = verifyExport(Buffer.from(text), { keys: [key] });
    return [integrity.verdict, completeness.verdict, entries];
  };
  /** The single file reads no CSV. */
  const csvVerdicts = async (text: string) => {
    const keys = [parseVerifierKey(TEST_SIGNING_KEY.verifierKey)];
    const pieces = Readable.from([Buffer.from(text)]);
    const { integrity, completeness, counts } = await verifyExportFile({ path: 'events.csv', pieces, keys });
    return [integrity.verdict, completeness.verdict, counts.entries];
  };

  it('is exported with a proof of every entry, which the single-file verifier follows', async () => {
    const { ctx: sealed, log: hers } = await house.addTenant('sealed');
    await hers.append(Array.from({ length: 700 }, () => ({})));
    const note = await hers.seal();
    const text = await (await house.fetch(sealed, NDJSON)).text();
    expect(JSON.parse(linesOf(text)[0] ?? '')).toEqual({ checkpoint: note, epoch: 1 });
    expect(verdicts(text)).toEqual(['pass', 'pass', 700]);
    expect(await csvVerdicts(await (await house.fetch(sealed, CSV)).text())).toEqual(['pass', 'pass', 700]);
    const changed = text.replace('thing-650', 'thing-651');
    expect(verdicts(changed)).toEqual(['fail', 'cannot say', 699]);
  });

  it('gives a row that can be shown alone, with its checkpoint', async () => {
    const { ctx: sealed, log: hers } = await house.addTenant('rows');
    await hers.append(Array.from({ length: 20 }, () => ({})));
    await hers.seal();
    const [checkpoint, ...rows] = linesOf(await (await house.fetch(sealed, NDJSON)).text());
    expect(verdicts(`${checkpoint}\n${rows[13]}\n`)).toEqual(['pass', 'cannot say', 1]);
    expect(verdicts(`${rows[13]}\n`)).toEqual(['fail', 'cannot say', 0]);
  });

  it('marks what no checkpoint covers yet', async () => {
    const { ctx: growing, log: hers } = await house.addTenant('growing');
    await hers.append([{}, {}, {}]);
    await hers.seal();
    await hers.append([{}, {}]);
    const answers = ['cannot say', 'pass', 3];
    expect(verdicts(await (await house.fetch(growing, NDJSON)).text())).toEqual(answers);
    expect(await csvVerdicts(await (await house.fetch(growing, CSV)).text())).toEqual(answers);
  });
});

describe('an export', () => {
  it('is recorded by its door and the names of its filters', async () => {
    const { ctx: watched } = await house.addTenant('watched');
    await (await house.fetch(watched, `${NDJSON}?resourceId=doc-1`)).text();
    await (await house.fetch(watched, CSV)).text();
    expect((await house.written(watched)).map(({ action, context }) => [action, context])).toEqual([
      ['audit.read', { door: 'export_ndjson', filters: ['resource_id'] }],
      ['audit.read', { door: 'export_csv', filters: [] }],
    ]);
  });

  it.each([
    '?outcome=maybe',
    '?actorid=x',
    '?text=a&text=b',
    '?from=yesterday',
    '?from=2026-01-01T00:00',
    '?text=',
    '?__proto__=x',
    '?personal=yes',
    `?text=${'x'.repeat(201)}`,
  ])('refuses the query %s, and records no reading', async (query) => {
    const before = (await house.written(ctx)).length;
    for (const door of [NDJSON, CSV]) {
      const answer = await house.fetch(ctx, `${door}${query}`);
      expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([400, 'BAD_USER_INPUT']);
    }
    expect(await house.written(ctx)).toHaveLength(before);
  });

  it('is FORBIDDEN without audit:read and shows nothing of another tenant', async () => {
    const { ctx: stranger } = await house.addTenant('stranger');
    for (const door of [NDJSON, CSV]) {
      expect((await house.fetch(without(ctx, 'audit:read'), door)).status).toBe(403);
      expect(await (await house.fetch(stranger, `${door}?action=document.share`)).text()).not.toContain(
        'document.share',
      );
    }
  });
});
