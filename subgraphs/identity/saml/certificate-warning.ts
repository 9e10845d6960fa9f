import type { TenantTransaction } from '#kit/database.ts';
import { log } from '#kit/log.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf } from '#schema/ids.ts';
import type { IdentityConnection } from '../connections/model.ts';
import { expiresSoon, isValidAt } from './certificates.ts';
import { certificatesOf, samlSettings, type StoredCertificate } from './settings.ts';

/** Once a day is often enough to be heard, and seldom enough to be listened to. */
const WARN_EVERY_MS = 24 * 3_600_000;

/**
 * Warns, once a day and certificate, of certificates of a connection in use that end within thirty days, unless one that
 * lasts longer stands beside them: a line of the log and the audit event `saml_certificate.expire_soon`.
 */
export async function warnOfExpiry(
  tx: TenantTransaction,
  ctx: RequestContext,
  connection: IdentityConnection,
): Promise<void> {
  const now = ctx.clock();
  const settings = samlSettings(connection.settings);
  const certificates = certificatesOf(settings);
  if (certificates.some((certificate) => isValidAt(certificate, now) && !expiresSoon(certificate, now))) return;
  const due = certificates.filter(
    (certificate) =>
      expiresSoon(certificate, now) &&
      (certificate.warnedAt === null || now.getTime() - Date.parse(certificate.warnedAt) >= WARN_EVERY_MS),
  );
  const warned = settings.certificates.map(({ pem, warnedAt }) => ({
    pem,
    warnedAt: due.some((certificate) => certificate.pem === pem) ? now.toISOString() : warnedAt,
  }));
  if (due.length === 0 || !(await claim(tx, connection, warned))) return;
  for (const { fingerprint, validUntil } of due) {
    const facts = { connection: connection.id, fingerprint, validUntil: validUntil.toISOString() };
    log('warn', 'a certificate of an identity provider ends soon', { tenant: ctx.tenant.tenant, ...facts });
    await appendAudit(tx, ctx, {
      action: 'saml_certificate.expire_soon',
      resource: { type: 'identity_connection', id: connection.id, name: connection.name },
      context: { fingerprint, valid_until: facts.validUntil },
    });
  }
}

/** Whoever writes the time first warns; the other sign-ins of that moment do not wait for it. */
async function claim(
  tx: TenantTransaction,
  { id, settings }: IdentityConnection,
  warned: readonly StoredCertificate[],
): Promise<boolean> {
  const claimed = await tx.query(
    `with due as (
       select id from identity_connections where id = $1 and settings -> 'certificates' = $2::jsonb for no key update skip locked)
     update identity_connections c set settings = jsonb_set(settings, '{certificates}', $3::jsonb)
       from due where c.id = due.id returning c.id`,
    [uuidOf('con', id), JSON.stringify(samlSettings(settings).certificates), JSON.stringify(warned)],
  );
  return claimed.length === 1;
}
