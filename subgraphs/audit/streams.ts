import { newestFirst, pageOf, pageRequest, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenant, inTenantAudit, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import {
  mintWebhookSecret,
  STREAM_SETTINGS,
  StreamForm,
  StreamKind,
  StreamState,
  streamSecretPlace,
  type StreamSettings,
} from '#schema/audit-stream.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOrNull, type Id } from '#schema/ids.ts';
import { sealSecret } from '#schema/sealed-secret.ts';
import { readHead } from './entries.ts';
import { checkedEndpoint, checkedSettings, checkSecret, originOf } from './stream-address.ts';
import { StreamStart, type CreateAuditStreamInput, type UpdateAuditStreamInput } from './stream-inputs.ts';
import { AuditStream, type AuditStreamSettings } from './stream-model.ts';

/** More than anybody has collectors; it bounds what sending one entry may cost. */
const MAX_STREAMS = 10;

/** Returns a page of the tenant's streams, newest first. */
export async function listStreams(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<AuditStream>> {
  const request = pageRequest(args);
  const rows = await inTenantOnce(ctx, ({ manager }) =>
    newestFirst(manager.createQueryBuilder(AuditStream, 'row'), request, 'str').getMany(),
  );
  return pageOf(rows, request);
}

/** Returns the settings of a stream, null where its kind does not know one. */
export function settingsOf({ storedSettings }: Pick<AuditStream, 'storedSettings'>): AuditStreamSettings {
  const names = Object.values(STREAM_SETTINGS).flatMap(({ needed, known }) => needed.concat(known));
  const nothing = Object.fromEntries(names.map((name) => [name, null]));
  return { ...nothing, ...storedSettings } as AuditStreamSettings;
}

/** Returns how many entries of the log a stream has not passed yet, those included that its filter leaves out. */
export async function lagOf(ctx: RequestContext, { epoch, nextSeq }: AuditStream): Promise<number> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<{ lag: string }>(
      `select coalesce(sum(greatest(0, log.entries - case when number = $1 then $2::bigint else 0 end)), 0) as lag
         from log_heads, generate_series($1::integer, log_heads.epoch) as number, lateral (
           select coalesce(
             (select seq + 1 from log_entries where log_entries.epoch = number order by seq desc limit 1), 0) as entries
         ) as log`,
      [epoch, nextSeq],
    ),
  );
  return Number(row?.lag ?? 0);
}

/**
 * Sets up a stream, with its audit event in one transaction; beside it the secret, where one was made. What its kind
 * refuses, and an address that may not be reached, is BAD_USER_INPUT; a name that is taken UNIQUENESS; one more than 10
 * CONFLICT.
 */
export async function createStream(
  ctx: RequestContext,
  input: CreateAuditStreamInput,
): Promise<{ stream: AuditStream; secret: string | null }> {
  const { kind, name, proofs } = input;
  const form = input.form ?? StreamForm.NATIVE;
  const start = input.start ?? StreamStart.NOW;
  const id = mintId('str');
  const made = kind === StreamKind.WEBHOOK && input.secret == null ? mintWebhookSecret() : null;
  const secret = made ?? input.secret ?? null;
  const endpoint = checkedEndpoint(ctx.platform, kind, input.endpoint);
  const storedSettings = checkedSettings(kind, input.settings ?? {});
  checkSecret(kind, secret);
  const row = {
    id,
    kind,
    name,
    form,
    endpoint,
    storedSettings,
    proofs,
    sealedSecret: secret === null ? null : sealed(ctx, id, secret),
    actions: sorted(input.actions ?? []),
    outcomes: sorted(input.outcomes ?? []),
    ...(await startOf(ctx, start)),
    state: StreamState.ACTIVE,
    updatedAt: ctx.clock(),
  };
  const stream = await inTenant(ctx, async (tx) => {
    // Two who set one up at once queue up here, so that the bound holds.
    await tx.query('select from tenants for update');
    if ((await tx.manager.count(AuditStream)) >= MAX_STREAMS)
      fail('CONFLICT', 'too many streams', { hint: `A tenant has at most ${MAX_STREAMS} streams.` });
    await tx.manager.insert(AuditStream, row);
    const added = await requireStream(tx, id);
    await record(tx, ctx, { action: 'audit_stream.create', stream: added, context: { start } });
    return added;
  });
  return { stream, secret: made };
}

/**
 * Changes a stream, with its audit event in one transaction; it is tried again at once. The rules of `createStream`
 * hold. At another place the secret has to be given anew (BAD_USER_INPUT), so that nobody has it sent to where it was not
 * meant for.
 */
export async function updateStream(ctx: RequestContext, input: UpdateAuditStreamInput): Promise<AuditStream> {
  return changed(ctx, { id: input.id, action: 'audit_stream.update' }, (before) => {
    const changes = changesOf(ctx, before, input);
    return {
      changes: { ...changes, ...(before.state === StreamState.PAUSED ? {} : TRIED_AT_ONCE) },
      context: { changed: namesOf(changes) },
    };
  });
}

/** Pauses a stream; paused already, it stays so. */
export async function pauseStream(ctx: RequestContext, id: string): Promise<AuditStream> {
  return changed(ctx, { id, action: 'audit_stream.pause' }, () => ({ changes: { state: StreamState.PAUSED } }));
}

/** Lets a stream go on where it stopped, at once. */
export async function resumeStream(ctx: RequestContext, id: string): Promise<AuditStream> {
  return changed(ctx, { id, action: 'audit_stream.resume' }, () => ({
    changes: { state: StreamState.ACTIVE, failures: 0, failingSince: null, failure: null, ...TRIED_AT_ONCE },
  }));
}

/** Has the receiver sent an event that is marked as a test, out of turn, also while the stream is paused. */
export async function testStream(ctx: RequestContext, id: string): Promise<AuditStream> {
  return changed(ctx, { id, action: 'audit_stream.test' }, () => ({ changes: { testRequestedAt: ctx.clock() } }));
}

/** Deletes a stream; again is NOT_FOUND. */
export async function deleteStream(ctx: RequestContext, id: string): Promise<string> {
  return inTenant(ctx, async (tx) => {
    const stream = await requireStream(tx, id);
    await tx.manager.delete(AuditStream, { id: stream.id });
    await record(tx, ctx, { action: 'audit_stream.delete', stream });
    return stream.id;
  });
}

const TRIED_AT_ONCE = { retryAt: null } as const;

type Changes = Partial<Omit<AuditStream, 'id' | 'kind'>>;

async function changed(
  ctx: RequestContext,
  { id, action }: { readonly id: string; readonly action: string },
  change: (before: AuditStream) => { readonly changes: Changes; readonly context?: Record<string, JsonValue> },
): Promise<AuditStream> {
  return inTenant(ctx, async (tx) => {
    await tx.query('select from audit_streams where id = $1 for update', [uuidOrNull('str', id)]);
    const before = await requireStream(tx, id);
    const { changes, context = {} } = change(before);
    await tx.manager.update(AuditStream, { id: before.id }, { ...changes, updatedAt: ctx.clock() });
    const stream = await requireStream(tx, before.id);
    await record(tx, ctx, { action, stream, context });
    return stream;
  });
}

function changesOf(ctx: RequestContext, before: AuditStream, input: UpdateAuditStreamInput): Changes {
  const { kind } = before;
  const { name, form, proofs, actions, outcomes, secret } = input;
  const endpoint = input.endpoint == null ? null : checkedEndpoint(ctx.platform, kind, input.endpoint);
  const storedSettings = input.settings == null ? null : checkedSettings(kind, input.settings);
  if (secret != null) checkSecret(kind, secret);
  else requireSamePlace(before, { endpoint, storedSettings });
  const sealedSecret = secret == null ? null : sealed(ctx, before.id, secret);
  const changes = {
    name,
    form,
    proofs,
    endpoint,
    storedSettings,
    sealedSecret,
    actions: actions == null ? null : sorted(actions),
    outcomes: outcomes == null ? null : sorted(outcomes),
  };
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value != null));
}

function requireSamePlace(
  { kind, sealedSecret, ...before }: AuditStream,
  { endpoint, storedSettings }: { endpoint: string | null; storedSettings: StreamSettings | null },
): void {
  const place = placeOf(kind, endpoint ?? before.endpoint, storedSettings ?? before.storedSettings);
  if (sealedSecret !== null && place !== placeOf(kind, before.endpoint, before.storedSettings))
    fail('BAD_USER_INPUT', 'a secret would go elsewhere', {
      hint: 'At another place the secret has to be given anew.',
    });
}

/** Whom a secret is told; S3 signs with it and sends it nowhere, but a bucket of somebody else would get the log. */
function placeOf(kind: StreamKind, endpoint: string, { bucket = '' }: StreamSettings): string {
  return `${originOf(kind, endpoint)} ${bucket}`;
}

const PUBLIC_NAMES: Readonly<Record<string, string>> = { storedSettings: 'settings', sealedSecret: 'secret' };

function namesOf(changes: Changes): string[] {
  return Object.keys(changes)
    .map((name) => PUBLIC_NAMES[name] ?? name)
    .toSorted();
}

async function startOf(ctx: RequestContext, start: StreamStart): Promise<{ epoch: number; nextSeq: number }> {
  if (start === StreamStart.BEGINNING) return { epoch: 1, nextSeq: 0 };
  const { epoch, size } = await inTenantAudit(ctx, readHead);
  return { epoch, nextSeq: size };
}

async function requireStream({ manager }: Pick<TenantTransaction, 'manager'>, id: string): Promise<AuditStream> {
  const known = uuidOrNull('str', id) === null ? null : (id as Id<'str'>);
  const stream = known === null ? null : await manager.findOneBy(AuditStream, { id: known });
  return stream ?? fail('NOT_FOUND', 'no such stream in this tenant');
}

/** An address may hold a secret in its path, so the log has its origin alone. */
async function record(
  tx: TenantTransaction,
  ctx: RequestContext,
  { action, stream, context = {} }: { action: string; stream: AuditStream; context?: Record<string, JsonValue> },
): Promise<void> {
  const { id, name, kind, form, endpoint, actions, outcomes, proofs } = stream;
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'audit_stream', id, name },
    context: { kind, form, origin: originOf(kind, endpoint), actions, outcomes, proofs, ...context },
  });
}

function sealed(ctx: RequestContext, id: Id<'str'>, secret: string): string {
  return sealSecret(ctx.databases.keys, streamSecretPlace(ctx.tenant.tenant, id), secret);
}

function sorted<T extends string>(values: readonly T[]): T[] {
  return [...new Set(values)].toSorted();
}
