import { Resolver } from 'node:dns/promises';
import type { Platform } from '#kit/request-context.ts';
import { TenonError } from '#schema/errors.ts';
import type { DnsRecord } from './inputs.ts';
import type { EmailDomain } from './model.ts';

const PREFIX = 'tenon-domain-verification=';
const TIMEOUT_MS = 2_000;
/** A domain has a handful of TXT records; nobody reads thousands for one. */
const MAX_RECORDS = 200;

/** Returns the record that proves a domain: on a name of its own, so that nothing else of the domain has to change. */
export function recordOf({ domain, token }: Pick<EmailDomain, 'domain' | 'token'>): DnsRecord {
  return { type: 'TXT', name: `_tenon-challenge.${domain}`, value: `${PREFIX}${token}` };
}

/** Tells whether DNS has the record of a domain now; where DNS does not answer, SERVICE_UNAVAILABLE. */
export async function hasRecord(platform: Platform, domain: Pick<EmailDomain, 'domain' | 'token'>): Promise<boolean> {
  const { name, value } = recordOf(domain);
  const records = await (platform.resolveTxt ?? resolveTxt)(name).catch((cause: unknown) => {
    const code = (cause as { code?: unknown } | null)?.code;
    if (code === 'ENOTFOUND' || code === 'ENODATA') return [];
    throw new TenonError('SERVICE_UNAVAILABLE', `DNS does not answer: ${String(code)}`, { cause });
  });
  // A long record comes in several pieces (RFC 1035 section 3.3.14).
  return records.slice(0, MAX_RECORDS).some((pieces) => pieces.join('').trim() === value);
}

async function resolveTxt(name: string): Promise<string[][]> {
  return new Resolver({ timeout: TIMEOUT_MS, tries: 2 }).resolveTxt(name);
}
