import { PLATFORM_UUID } from '#kit/platform-log.ts';
import { checkPlatformEvent, type PlatformEvent } from '#schema/platform-entry.ts';

/** What says one statement: a pool or a client of `pg`, or what stands for one. */
interface Speaker {
  query(text: string, values: unknown[]): Promise<unknown>;
}

/**
 * Hands something that happened to the platform of a cell to its log: it becomes an entry with the next tick. Takes the
 * pool of `tenon_worker` over the audit database, or a client in whose transaction it is to stand or fall. The detail is
 * JSON of at most 16,384 bytes without personal data and without secrets; a type that is not of the form `noun.verb`, or
 * a detail that JSON cannot carry, is BAD_USER_INPUT.
 */
export async function recordPlatformEvent(audit: Speaker, event: PlatformEvent): Promise<void> {
  await audit.query('insert into platform_events (tenant_id, type, detail, at) values ($1, $2, $3, $4)', [
    PLATFORM_UUID,
    event.type,
    checkPlatformEvent(event),
    event.at,
  ]);
}
