import { asTenonError, fail } from '#schema/errors.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import type { Databases } from './database.ts';
import { logError } from './log.ts';
import { isInNetworks, networkList } from './network-list.ts';
import { recordAudit } from './outbox.ts';

/** Lets those requests alone in that come from where a credential may be used. */
export interface NetworkGuard {
  /** Passes a request from one of the networks; any other is UNAUTHENTICATED, and an event of the tenant's log. */
  admit(request: GuardedRequest): void;
}

/** Where a request comes from, and when. */
export interface GuardedRequest {
  readonly requestId: string;
  readonly ip: string | null;
  readonly ua: string | null;
  readonly now: Date;
}

/** What a guard stands for. */
export interface GuardedCredential {
  readonly databases: Databases;
  readonly tenant: Omit<TenantContext, 'requestId'>;
  /** The public id of the credential. */
  readonly id: string;
  readonly networks: readonly string[];
}

/** A flood of refusals is one event in this time. */
const COALESCE_MS = 10_000;

/** Returns the guard of a credential, or null for one that may be used everywhere. */
export function newNetworkGuard(credential: GuardedCredential): NetworkGuard | null {
  const list = networkList(credential.networks);
  if (list === null) return null;
  let nextEventMs = 0;
  return {
    admit: (request) => {
      if (isInNetworks(list, request.ip)) return;
      if (request.now.getTime() >= nextEventMs) {
        nextEventMs = request.now.getTime() + COALESCE_MS;
        void record(credential, request);
      }
      fail('UNAUTHENTICATED', 'the credential is used from a network that it is not for');
    },
  };
}

/** What an actor of a type shows for herself. */
const KINDS: Readonly<Record<string, string>> = { user: 'session', scim: 'scim_token' };

async function record({ databases, tenant, id }: GuardedCredential, request: GuardedRequest): Promise<void> {
  const actor = { ...tenant.actor, ip: request.ip, ua: request.ua };
  const ctx = { databases, tenant: { ...tenant, actor, requestId: request.requestId }, clock: () => request.now };
  const resource = { type: KINDS[tenant.actor.type] ?? tenant.actor.type, id, name: null };
  await recordAudit(ctx, {
    action: 'credential.refuse',
    resource,
    context: { reason: 'network' },
    outcome: 'denied',
  }).catch((error: unknown) => logError(asTenonError(error), request.requestId));
}
