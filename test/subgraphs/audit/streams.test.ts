import { describe, expect, it } from 'vitest';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { streamSecretPlace } from '#schema/audit-stream.ts';
import { openSecret } from '#schema/sealed-secret.ts';
import { CONTEXT_KEYS } from '../../support/databases.ts';
import { openHouse } from '../../support/house.ts';
import { ask, codeOf, dataOf, openAudit, without } from './audit-platform.ts';

const STREAM = `{ id name kind form endpoint hasSecret actions outcomes proofs state lag delivered failures testRequestedAt
  settings { index sourceType acknowledge service tags region bucket prefix accessKeyId certificate enterpriseNumber } }`;
const CREATE = `mutation ($input: CreateAuditStreamInput!) { createAuditStream(input: $input) { secret stream ${STREAM} } }`;
const UPDATE = `mutation ($input: UpdateAuditStreamInput!) { updateAuditStream(input: $input) { stream ${STREAM} } }`;
const ON_ONE = {
  pause: `mutation ($input: AuditStreamInput!) { pauseAuditStream(input: $input) { stream { id state } } }`,
  resume: `mutation ($input: AuditStreamInput!) { resumeAuditStream(input: $input) { stream { id state } } }`,
  test: `mutation ($input: AuditStreamInput!) { testAuditStream(input: $input) { stream { id testRequestedAt } } }`,
  delete: `mutation ($input: AuditStreamInput!) { deleteAuditStream(input: $input) { deletedId } }`,
};
const LIST = `query ($after: String, $first: Int! = 20) { auditStreams(first: $first, after: $after) { edges { node ${STREAM} } } }`;

interface Stream {
  readonly id: Id<'str'>;
  readonly lag: number;
  readonly state: string;
}
interface Made {
  readonly createAuditStream: { readonly stream: Stream; readonly secret: string | null };
}

const house = await openAudit();
const WEBHOOK = { name: 'SIEM', kind: 'WEBHOOK', endpoint: 'https://siem.example/hooks/s3cr3t' };

async function create(ctx: RequestContext, input: object = WEBHOOK): Promise<Made['createAuditStream']> {
  return (await dataOf<Made>(ask(ctx, CREATE, { input }))).createAuditStream;
}

async function list(ctx: RequestContext): Promise<Stream[]> {
  const { auditStreams } = await dataOf<{ auditStreams: { edges: { node: Stream }[] } }>(ask(ctx, LIST));
  return auditStreams.edges.map(({ node }) => node);
}

/** The secret as the worker reads it. */
async function storedSecret(ctx: RequestContext, id: Id<'str'>): Promise<string> {
  const [row] = await house.peek<{ sealed_secret: string }>(
    'eu-1',
    'select sealed_secret from audit_streams where id = $1',
    [uuidOf('str', id)],
  );
  return openSecret(CONTEXT_KEYS, streamSecretPlace(ctx.tenant.tenant, id), row?.sealed_secret ?? '');
}

describe('a stream', () => {
  it('is set up, shown without its secret, and counts what it has not passed yet', async () => {
    const { ctx, log } = await house.addTenant('kept');
    await log.append([{}, {}, {}]);
    const { stream, secret } = await create(ctx, {
      ...WEBHOOK,
      start: 'BEGINNING',
      actions: ['user.*', 'a.b'],
      outcomes: ['DENIED'],
    });
    expect(stream).toMatchObject({
      ...WEBHOOK,
      form: 'NATIVE',
      hasSecret: true,
      actions: ['a.b', 'user.*'],
      outcomes: ['DENIED'],
      proofs: true,
      state: 'ACTIVE',
      lag: 3,
      delivered: 0,
    });
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(await storedSecret(ctx, stream.id)).toBe(secret);
    const { stream: later } = await create(ctx, { ...WEBHOOK, name: 'From now' });
    expect(later.lag).toBe(0);
    expect((await list(ctx)).map(({ id }) => id)).toEqual([later.id, stream.id]);
    expect(JSON.stringify(await list(ctx))).not.toContain('whsec_');
  });

  it('leaves an event of every change that holds no secret, nor the path of its address', async () => {
    const { ctx } = await house.addTenant('watched');
    const { stream, secret } = await create(ctx);
    const input = { id: stream.id };
    const anew = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;
    await dataOf(ask(ctx, UPDATE, { input: { ...input, form: 'OCSF', secret: anew, actions: ['user.*'] } }));
    expect(await storedSecret(ctx, stream.id)).toBe(anew);
    expect(await dataOf(ask(ctx, ON_ONE.pause, { input }))).toMatchObject({
      pauseAuditStream: { stream: { state: 'PAUSED' } },
    });
    expect(await dataOf(ask(ctx, ON_ONE.resume, { input }))).toMatchObject({
      resumeAuditStream: { stream: { state: 'ACTIVE' } },
    });
    await dataOf(ask(ctx, ON_ONE.test, { input }));
    expect(await list(ctx)).toMatchObject([{ testRequestedAt: house.platform.clock().toISOString() }]);
    expect(await dataOf(ask(ctx, ON_ONE.delete, { input }))).toEqual({ deleteAuditStream: { deletedId: stream.id } });
    expect(await list(ctx)).toEqual([]);
    const written = await house.written(ctx);
    expect(written.map(({ action }) => action)).toEqual(
      ['create', 'update', 'pause', 'resume', 'test', 'delete'].map((verb) => `audit_stream.${verb}`),
    );
    expect(written.every(({ resource }) => resource.id === stream.id && resource.name === 'SIEM')).toBe(true);
    expect(written[0]?.context).toMatchObject({ origin: 'https://siem.example', form: 'native', start: 'now' });
    expect(written[1]?.context).toMatchObject({ form: 'ocsf', changed: ['actions', 'form', 'secret'] });
    const text = JSON.stringify(written);
    for (const hidden of [secret ?? '-', anew, 's3cr3t']) expect(text).not.toContain(hidden);
  });

  it('takes its secret nowhere else: at another place it has to be given anew', async () => {
    const { ctx } = await house.addTenant('elsewhere');
    const { stream } = await create(ctx);
    const move = (input: object) => ask(ctx, UPDATE, { input: { id: stream.id, ...input } });
    expect(await codeOf(move({ endpoint: 'https://thief.example/' }))).toBe('BAD_USER_INPUT');
    expect(await codeOf(move({ endpoint: 'https://siem.example/other' }))).toBeNull();
    const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    expect(await codeOf(move({ endpoint: 'https://new.example/', secret }))).toBeNull();
  });

  it('has a name that is given once, and there are ten at most', async () => {
    const { ctx } = await house.addTenant('bounded');
    await create(ctx);
    expect(await codeOf(ask(ctx, CREATE, { input: WEBHOOK }))).toBe('UNIQUENESS');
    for (let number = 2; number <= 10; number++) await create(ctx, { ...WEBHOOK, name: `no ${number}` });
    expect(await codeOf(ask(ctx, CREATE, { input: { ...WEBHOOK, name: 'no 11' } }))).toBe('CONFLICT');
  });

  it.each([
    ['a webhook whose secret is none', { ...WEBHOOK, secret: 'hunter2' }],
    ['a webhook with settings of others', { ...WEBHOOK, settings: { index: 'x' } }],
    ['a scheme that is not spoken', { ...WEBHOOK, endpoint: 'ftp://siem.example/' }],
    ['an address that holds a password', { ...WEBHOOK, endpoint: 'https://a:b@siem.example/' }],
    ['Splunk without a token', { name: 'a', kind: 'SPLUNK', endpoint: 'https://splunk.example:8088' }],
    ['Splunk with a path', { name: 'a', kind: 'SPLUNK', endpoint: 'https://splunk.example/x', secret: 't' }],
    [
      'a token that would break its header',
      { name: 'a', kind: 'SPLUNK', endpoint: 'https://s.example', secret: 'a\r\nb' },
    ],
    [
      'S3 without its bucket',
      { name: 'a', kind: 'S3', endpoint: 'https://s3.example', secret: 'k', settings: { region: 'eu' } },
    ],
    ['syslog with a secret', { name: 'a', kind: 'SYSLOG', endpoint: 'syslog+tls://s.example', secret: 'k' }],
    ['syslog over HTTP', { name: 'a', kind: 'SYSLOG', endpoint: 'https://s.example' }],
    ['an action that is none', { ...WEBHOOK, actions: ['%'] }],
    ['a name with a control character', { ...WEBHOOK, name: 'a\u0000' }],
  ])('refuses %s', async (name, input) => {
    const { ctx } = await house.addTenant(
      `refused-${name
        .toLowerCase()
        .replaceAll(/[^a-z0-9]+/g, '-')
        .slice(0, 25)}x`,
    );
    expect(await codeOf(ask(ctx, CREATE, { input }))).toBe('BAD_USER_INPUT');
    expect(await list(ctx)).toEqual([]);
  });

  it.each([
    {
      name: 'a',
      kind: 'SPLUNK',
      endpoint: 'https://splunk.example:8088',
      secret: 't',
      settings: { index: 'i', acknowledge: true },
    },
    {
      name: 'a',
      kind: 'DATADOG',
      endpoint: 'https://http-intake.logs.datadoghq.eu',
      secret: 't',
      settings: { tags: 'env:prod' },
    },
    {
      name: 'a',
      kind: 'S3',
      endpoint: 'https://s3.eu-central-1.amazonaws.com',
      secret: 't',
      settings: { region: 'eu-central-1', bucket: 'siem', accessKeyId: 'AKIA', prefix: 'x/' },
    },
    { name: 'a', kind: 'SYSLOG', endpoint: 'syslog+tls://[2001:4860::1]:6514', settings: { enterpriseNumber: 4711 } },
  ])('takes $kind', async (input) => {
    const { ctx } = await house.addTenant(`takes-${input.kind.toLowerCase()}`);
    const { stream, secret } = await create(ctx, input);
    const { name, kind, settings } = input;
    expect(stream).toMatchObject({ name, kind, settings, hasSecret: input.secret !== undefined });
    expect(secret).toBeNull();
  });

  it('within our own network is refused in production', async () => {
    const { ctx } = await house.addTenant('walled');
    const config = { ...house.platform.config, profile: 'production', outgoingPrivate: null } as const;
    const walled = requestContext({ ...house.platform, config }, ctx.tenant);
    for (const endpoint of [
      'http://siem.example/',
      'https://127.0.0.1/',
      'https://[::1]/',
      'https://169.254.169.254/',
      'https://localhost/',
    ])
      expect(await codeOf(ask(walled, CREATE, { input: { ...WEBHOOK, endpoint } }))).toBe('BAD_USER_INPUT');
    const syslog = { name: 'a', kind: 'SYSLOG' };
    for (const endpoint of ['syslog+tcp://siem.example', 'syslog+tls://10.0.0.1'])
      expect(await codeOf(ask(walled, CREATE, { input: { ...syslog, endpoint } }))).toBe('BAD_USER_INPUT');
    expect(
      await codeOf(ask(walled, CREATE, { input: { ...syslog, endpoint: 'syslog+tls://siem.example' } })),
    ).toBeNull();
  });

  it('of another tenant is not there', async () => {
    const [{ ctx: owner }, { ctx: stranger }] = [await house.addTenant('owner'), await house.addTenant('stranger')];
    const { stream } = await create(owner);
    const input = { id: stream.id };
    expect(await list(stranger)).toEqual([]);
    for (const document of [UPDATE, ...Object.values(ON_ONE)])
      expect(await codeOf(ask(stranger, document, { input }))).toBe('NOT_FOUND');
    for (const id of ['x', mintId('str'), mintId('vew')])
      expect(await codeOf(ask(owner, ON_ONE.pause, { input: { id } }))).toBe('NOT_FOUND');
    expect(await list(owner)).toMatchObject([{ state: 'ACTIVE' }]);
  });

  it('asks for the rights of the log', async () => {
    const { ctx } = await house.addTenant('rights');
    const { stream } = await create(ctx);
    const cannot = without(ctx, 'audit:write');
    expect(await codeOf(ask(cannot, CREATE, { input: { ...WEBHOOK, name: 'b' } }))).toBe('FORBIDDEN');
    for (const document of [UPDATE, ...Object.values(ON_ONE)])
      expect(await codeOf(ask(cannot, document, { input: { id: stream.id } }))).toBe('FORBIDDEN');
    expect(await codeOf(ask(without(ctx, 'audit:read'), LIST))).toBe('FORBIDDEN');
  });
});

describe('through the gateway', async () => {
  const gateway = await openHouse();
  const { acme } = gateway;
  const codeFor = async (token: string, document: string, variables: Record<string, unknown> = {}) =>
    (await gateway.graphql(token, document, variables)).errors?.[0]?.extensions.code ?? null;

  it('an administrator sets a stream up; an auditor sees it alone, a member nothing', async () => {
    const { data } = await gateway.graphql(acme.admin, CREATE, { input: WEBHOOK });
    const { id } = (data as unknown as Made).createAuditStream.stream;
    expect(await codeFor(acme.auditor, LIST)).toBeNull();
    expect(await codeFor(acme.member, LIST)).toBe('FORBIDDEN');
    for (const token of [acme.auditor, acme.member]) {
      expect(await codeFor(token, CREATE, { input: { ...WEBHOOK, name: 'b' } })).toBe('FORBIDDEN');
      for (const document of [UPDATE, ...Object.values(ON_ONE)])
        expect(await codeFor(token, document, { input: { id } })).toBe('FORBIDDEN');
    }
    for (const document of [UPDATE, ...Object.values(ON_ONE)])
      expect(await codeFor(acme.admin, document, { input: { id } })).toBeNull();
  });
});

describe('what the roles of the database may do', () => {
  it('is no more than they need', async () => {
    const { ctx } = await house.addTenant('granted');
    await create(ctx);
    const may = async (role: string, right: string, column: string) => {
      const [row] = await house.peek<{ may: boolean }>('eu-1', 'select has_column_privilege($1, $2, $3, $4) as may', [
        role,
        'app.audit_streams',
        column,
        right,
      ]);
      return row?.may;
    };
    for (const column of ['next_seq', 'delivered', 'lease'])
      expect(await may('tenon_app', 'update', column)).toBe(false);
    for (const column of ['endpoint', 'sealed_secret', 'settings', 'actions'])
      expect(await may('tenon_worker', 'update', column)).toBe(false);
    for (const column of ['next_seq', 'state', 'retry_at'])
      expect(await may('tenon_worker', 'update', column)).toBe(true);
  });
});
