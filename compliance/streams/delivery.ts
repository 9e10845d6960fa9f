import { systemContext } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import type { log as logLine } from '#kit/log.ts';
import { appendAudit } from '#kit/outbox.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { StreamState, streamSecretPlace, syslogAddress } from '#schema/audit-stream.ts';
import { asTenonError, TenonError } from '#schema/errors.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { openSecret } from '#schema/sealed-secret.ts';
import { STREAM_FORMATTERS } from './forms/form.ts';
import { readPage, type LogPage } from './log-page.ts';
import { STREAM_RECEIVERS } from './receiver-kinds.ts';
import type { Receiver, StreamBatch, StreamMessage, StreamTarget } from './receivers/receiver.ts';
import {
  advanceStream,
  markFailed,
  markTested,
  releaseStream,
  type ClaimedStream,
  type LogPosition,
  type StreamScope,
} from './stream-store.ts';
import { testEntry } from './test-entry.ts';

/** What sending needs; the platform is opened as `tenon_worker`. */
export interface Delivery {
  readonly platform: Platform;
  readonly cell: string;
  /** The store of the cell that holds the stream; without it the pool. */
  readonly store?: string | undefined;
  readonly log: typeof logLine;
}

/** Whoever has much to send lets others have a turn. */
const MOST_PAGES = 50;
const MOST_MS = 10_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 5 * 60_000;
/** What is wrong on our side is tried again so soon. */
const OWN_PAUSE_MS = 5_000;
const FAILING_AFTER_MS = 24 * 3_600_000;

/**
 * Sends for a claimed stream what it is owed, batch after batch in the order of the log, and gives it back; never throws.
 * The position moves only after the receiver has taken a batch, so whoever is killed in between sends that one again.
 */
export async function deliverStream(delivery: Delivery, stream: ClaimedStream): Promise<void> {
  let retryAt: Date | null = null;
  try {
    const ctx = await contextOf(delivery, stream);
    const target = targetOf(ctx, stream);
    if (stream.isTestDue) await sendTest(delivery, { stream, target });
    if (stream.isOpen) await sendPages(delivery, { ctx, stream, target });
  } catch (thrown) {
    // Our own stores are away, or the tenant has moved: the receiver has not failed.
    retryAt = new Date(delivery.platform.clock().getTime() + OWN_PAUSE_MS);
    logFault(delivery, stream, thrown);
  }
  await releaseStream(scopeOf(delivery), stream, retryAt).catch((thrown: unknown) =>
    logFault(delivery, stream, thrown),
  );
}

interface Sending {
  readonly ctx: RequestContext;
  readonly stream: ClaimedStream;
  readonly target: StreamTarget;
}

async function sendPages(delivery: Delivery, sending: Sending): Promise<void> {
  const { ctx, stream, target } = sending;
  const receiver = STREAM_RECEIVERS[stream.kind];
  const beganMs = performance.now();
  let { position } = stream;
  for (let pages = 0; pages < MOST_PAGES && performance.now() - beganMs < MOST_MS; pages++) {
    const { proofs, actions, outcomes } = stream;
    const { deployment } = target;
    const limit = receiver.maxMessages;
    const page = await readPage(ctx, { from: position, proofs, actions, outcomes, limit, deployment });
    if (isSame(page.next, position)) return;
    if (!(await sendPage(delivery, sending, page))) return;
    position = page.next;
  }
}

/** False where the stream is not to be sent more for now. */
async function sendPage(delivery: Delivery, { ctx, stream, target }: Sending, page: LogPage): Promise<boolean> {
  const receiver = STREAM_RECEIVERS[stream.kind];
  const format = STREAM_FORMATTERS[stream.form];
  let rest: readonly StreamMessage[] = page.entries.map((streamed) => ({ streamed, body: format(streamed) }));
  let isFirst = true;
  while (rest.length > 0) {
    const messages = fitting(receiver, rest);
    rest = rest.slice(messages.length);
    const failure = await attempt(receiver, target, batchOf(delivery, stream, messages));
    if (failure !== null) {
      const before = isFirst ? stream : { failures: 0, failingSince: null };
      await fails(delivery, { ctx, stream }, { before, failure });
      return false;
    }
    const behind = rest[0]?.streamed;
    const position = behind === undefined ? page.next : { epoch: behind.epoch, seq: behind.entry.seq };
    const goesOn = await advanceStream(scopeOf(delivery), stream, { position, taken: messages.length });
    if (stream.state === StreamState.FAILING && isFirst) await recovers({ ctx, stream });
    isFirst = false;
    if (!goesOn) return false;
  }
  return page.entries.length > 0 || advanceStream(scopeOf(delivery), stream, { position: page.next, taken: 0 });
}

async function sendTest(
  delivery: Delivery,
  { stream, target }: { stream: ClaimedStream; target: StreamTarget },
): Promise<void> {
  const { tenant, id } = stream;
  const { deployment } = target;
  const streamed = testEntry({ tenant, stream: id, deployment }, delivery.platform.clock());
  const messages = [{ streamed, body: STREAM_FORMATTERS[stream.form](streamed) }];
  const failure = await attempt(STREAM_RECEIVERS[stream.kind], target, batchOf(delivery, stream, messages));
  await markTested(scopeOf(delivery), stream, failure);
}

/** Null where the receiver took the batch, else why not. */
async function attempt(receiver: Receiver, target: StreamTarget, batch: StreamBatch): Promise<string | null> {
  try {
    await receiver.send(target, batch);
    return null;
  } catch (thrown) {
    if (thrown instanceof TenonError && thrown.hint !== undefined) return thrown.hint;
    throw thrown;
  }
}

async function fails(
  delivery: Delivery,
  { ctx, stream }: { ctx: RequestContext; stream: ClaimedStream },
  { before, failure }: { before: Pick<ClaimedStream, 'failures' | 'failingSince'>; failure: string },
): Promise<void> {
  const { now } = scopeOf(delivery);
  const retryAt = new Date(now.getTime() + pauseMs(before.failures));
  await markFailed(scopeOf(delivery), stream, { failure, retryAt });
  const { failingSince } = before;
  if (stream.state !== StreamState.ACTIVE || failingSince === null) return;
  if (now.getTime() - failingSince.getTime() < FAILING_AFTER_MS) return;
  await changeState(ctx, stream, { to: StreamState.FAILING, since: failingSince });
  delivery.log('error', 'an audit stream has delivered nothing for a day', {
    cell: delivery.cell,
    tenant: stream.tenant,
    stream: stream.id,
  });
}

async function recovers({ ctx, stream }: Omit<Sending, 'target'>): Promise<void> {
  await changeState(ctx, stream, { to: StreamState.ACTIVE, since: stream.failingSince ?? ctx.clock() });
}

/** The change and its event are one transaction; what somebody changed meanwhile stays. */
async function changeState(
  ctx: RequestContext,
  stream: ClaimedStream,
  { to, since }: { to: StreamState.ACTIVE | StreamState.FAILING; since: Date },
): Promise<void> {
  const { id, name, kind, form, actions, outcomes, proofs } = stream;
  await inTenant(ctx, async (tx) => {
    const changed = await tx.query('select from audit_streams where id = $1 and state = $2 for update', [
      uuidOf('str', id),
      stream.state,
    ]);
    if (changed.length === 0) return;
    await tx.query('update audit_streams set state = $2 where id = $1', [uuidOf('str', id), to]);
    await appendAudit(tx, ctx, {
      action: to === StreamState.FAILING ? 'audit_stream.fail' : 'audit_stream.recover',
      resource: { type: 'audit_stream', id, name },
      context: {
        kind,
        form,
        actions,
        outcomes,
        proofs,
        origin: originOf(stream),
        since: since.toISOString(),
      },
      outcome: to === StreamState.FAILING ? 'failure' : 'success',
    });
  });
}

/** As many of the messages, from the first on, as one batch holds. */
function fitting({ maxMessages, maxBytes }: Receiver, messages: readonly StreamMessage[]): StreamMessage[] {
  let bytes = 0;
  const end = messages.slice(0, maxMessages).findIndex(({ body }, index) => {
    bytes += Buffer.byteLength(body) + 1;
    return index > 0 && bytes > maxBytes;
  });
  return messages.slice(0, end === -1 ? maxMessages : end);
}

function batchOf({ platform }: Delivery, { id, tenant, form }: ClaimedStream, messages: StreamMessage[]): StreamBatch {
  return { stream: id, tenant, form, messages, now: platform.clock() };
}

/** Twice as long after each failure, up to five minutes; spread, so that not everything comes back in the same moment. */
function pauseMs(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 20)) * (0.5 + Math.random() / 2);
}

async function contextOf({ platform }: Delivery, { tenant }: ClaimedStream): Promise<RequestContext> {
  const purpose = { name: 'audit-streams', requestId: mintId('req') };
  return requestContext(platform, await systemContext(platform.databases, tenant, purpose));
}

function targetOf(
  { platform }: RequestContext,
  { tenant, id, endpoint, settings, sealedSecret }: ClaimedStream,
): StreamTarget {
  const place = streamSecretPlace(tenant, id);
  const secret = sealedSecret === null ? '' : openSecret(platform.databases.keys, place, sealedSecret);
  return { platform, deployment: platform.config.deployment, endpoint, settings, secret };
}

function originOf({ endpoint }: ClaimedStream): string {
  const address = syslogAddress(endpoint);
  return address === null
    ? new URL(endpoint).origin
    : `syslog+${address.tls ? 'tls' : 'tcp'}://${address.host}:${address.port}`;
}

function scopeOf({ platform, cell, store }: Delivery): StreamScope {
  return { databases: platform.databases, cell, store, now: platform.clock() };
}

function isSame(left: LogPosition, right: LogPosition): boolean {
  return left.epoch === right.epoch && left.seq === right.seq;
}

function logFault({ log, cell }: Delivery, { tenant, id }: ClaimedStream, thrown: unknown): void {
  log('error', `audit stream not sent: ${asTenonError(thrown).message}`, { cell, tenant, stream: id });
}
