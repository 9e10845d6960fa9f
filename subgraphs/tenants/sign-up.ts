import type { RequestOrigin } from '#kit/credential.ts';
import type { Databases } from '#kit/database.ts';
import { mailOfCell, sendMail } from '#kit/mail.ts';
import type { Platform } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { systemOrigin } from './operator.ts';
import { provisionTenant, requireValid, type ProvisionedTenant } from './provisioning.ts';
import { openSignUp, sealSignUp, subjectOf, type SignUpRequest } from './sign-up-token.ts';

/** Mails to one address in a day; whoever asks more often gets the same answer and no mail. */
const MOST_MAILS = 3;
/** Tries from one place in a day. */
const MOST_FROM_PLACE = 20;

/**
 * Mails a link to somebody who wants a tenant of her own; nothing is made or claimed before she opens it. Whether the slug is
 * taken, or the address known, nobody learns here. What is malformed is BAD_USER_INPUT, too many tries from one place are
 * THROTTLED, and where the platform does not take sign-ups it is NOT_FOUND.
 */
export async function requestSignUp(platform: Platform, request: SignUpRequest, origin: RequestOrigin): Promise<void> {
  const { databases, clock, publicUrl } = platform;
  requireOpenDoor(platform);
  requireValid(inputOf(request));
  const cell = requireRegion(databases, request.region);
  const from = origin.ip === null ? 0 : await countTry(platform, `from ${origin.ip}`);
  if (from > MOST_FROM_PLACE) fail('THROTTLED', 'too many sign-ups from one place');
  if ((await countTry(platform, `to ${request.email.toLowerCase()}`)) > MOST_MAILS) return;
  const token = sealSignUp(request, databases.keys, clock().getTime());
  await sendMail(mailOfCell(platform, cell.name), {
    to: request.email,
    subject: 'Confirm your address',
    text: `Open this link within a day to make the tenant ${request.slug}:\n\n${publicUrl}/v1/sign-up/confirm?token=${token}\n\nIf you did not ask for it, there is nothing to do: nothing was made.\n`,
  });
}

/**
 * Makes the tenant of whoever opened the link that was mailed to her: a free one, on trial. A link that is forged or a day
 * old is UNAUTHENTICATED; a slug that is taken by now, or a link that was used, UNIQUENESS.
 */
export async function confirmSignUp(
  platform: Platform,
  token: string,
  { requestId }: RequestOrigin,
): Promise<ProvisionedTenant> {
  requireOpenDoor(platform);
  const request = openSignUp(token, platform.databases.keys, platform.clock().getTime());
  const input = { ...inputOf(request), state: 'trial', contract: { source: 'self_service' } } as const;
  return provisionTenant(platform, input, systemOrigin('sign-up', requestId));
}

function inputOf({ slug, name, region, email, adminName }: SignUpRequest) {
  return { slug, name, region, tier: 'FREE', adminEmail: email, adminName } as const;
}

function requireOpenDoor({ config }: Platform): void {
  if (config.signUp !== 'open') fail('NOT_FOUND', 'the platform takes no sign-ups');
}

/** Returns a cell of the region, whose mail server stands there too. */
function requireRegion({ cells }: Databases, region: string): CellSettings {
  const regions = [...new Set(cells.map((cell) => cell.region))].toSorted();
  return (
    cells.find((cell) => cell.region === region) ??
    fail('BAD_USER_INPUT', 'no cell in that region', { hint: `"region" takes ${regions.join(', ')}.` })
  );
}

/** Counts a try and returns how many there were today; those of past days are forgotten. */
async function countTry({ databases, clock }: Platform, what: string): Promise<number> {
  const day = clock().toISOString().slice(0, 10);
  const { rows } = await databases.directory
    .query<{ attempts: number }>(
      `with gone as (delete from sign_up_attempts where day < $2)
       insert into sign_up_attempts as known (subject, day) values ($1, $2)
       on conflict (subject, day) do update set attempts = known.attempts + 1 returning attempts`,
      [subjectOf(databases.keys, what), day],
    )
    .catch((cause: unknown) =>
      fail('SERVICE_UNAVAILABLE', `the directory does not answer: ${String(cause)}`, { cause }),
    );
  return rows[0]?.attempts ?? 0;
}
