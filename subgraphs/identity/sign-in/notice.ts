import { inTenantOnce } from '#kit/database.ts';
import { logError } from '#kit/log.ts';
import { mailOfCell, sendMail } from '#kit/mail.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { asTenonError } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';

/** Something about her account that a person is told of, in case it was not she. */
export type Notice =
  | { readonly event: 'passkey_added' | 'totp_added' | 'factor_removed' | 'recovery_codes_renewed' | 'factors_reset' }
  | { readonly event: 'recovery_code_used'; readonly left: number };

/** Whom a notice is for. */
export type PersonalNotice = Notice & { readonly userId: Id<'usr'> };

/**
 * Mails a person what has happened to her account; called once it is committed. Nobody waits for it, and a mail server that
 * fails is a line of the log. Somebody without an address is told nothing.
 */
export function notify(ctx: RequestContext, notice: PersonalNotice): void {
  // It goes out even when nobody waits for the answer any more.
  send({ ...ctx, signal: undefined }, notice).catch((error: unknown) =>
    logError(asTenonError(error), ctx.tenant.requestId),
  );
}

async function send(ctx: RequestContext, notice: PersonalNotice): Promise<void> {
  const [row] = await inTenantOnce(ctx, (tx) =>
    tx.query<{ email: string | null }>('select email from users where id = $1', [uuidOf('usr', notice.userId)]),
  );
  if (row === undefined || row.email === null) return;
  await sendMail(mailOfCell(ctx.platform, ctx.tenant.cell), {
    to: row.email,
    subject: SUBJECTS[notice.event],
    text: `${sentence(notice)}\n\nTime: ${ctx.clock().toISOString()}\n\nIf this was not you, tell your administrator at once.\n`,
  });
}

const SUBJECTS: Readonly<Record<Notice['event'], string>> = {
  passkey_added: 'A passkey was added to your account',
  totp_added: 'An authenticator application was added to your account',
  factor_removed: 'A sign-in factor was removed from your account',
  recovery_codes_renewed: 'Your recovery codes were renewed',
  recovery_code_used: 'A recovery code was used to sign in',
  factors_reset: 'Your sign-in factors were removed by an administrator',
};

function sentence(notice: Notice): string {
  if (notice.event !== 'recovery_code_used') return `${SUBJECTS[notice.event]}.`;
  return `${SUBJECTS[notice.event]}; ${notice.left} of them ${notice.left === 1 ? 'is' : 'are'} left.`;
}
