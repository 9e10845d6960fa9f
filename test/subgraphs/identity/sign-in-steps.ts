import { watch } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret, TOTP } from 'otpauth';
import { expect } from 'vitest';
import { uuidOf } from '#schema/ids.ts';
import { withClient } from '../../support/postgres.ts';
import { ask, type IdentityPlatform, type TestTenant } from './identity-platform.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { mintId, type Id } from '#schema/ids.ts';
import {
  newPasskey,
  type AssertionJson,
  type CreationOptions,
  type RequestOptions,
  type SoftwarePasskey,
} from './software-authenticator.ts';

/** Where the platforms of these tests say they are. */
export const ORIGIN = 'http://tenon.test';

/** An answer of a door of the sign-in. */
export interface SignInAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: {
    readonly token?: string;
    readonly code?: string;
    readonly user?: { readonly id: string };
    readonly recoveryCodes?: readonly string[];
    readonly secondFactor?: { readonly token: string; readonly methods: readonly string[]; readonly expiresAt: string };
    readonly uri?: string;
    readonly secret?: string;
    readonly location?: string;
  } & Readonly<Record<string, unknown>>;
}

/** Posts JSON to a door of the sign-in. */
export async function post(world: Pick<IdentityPlatform, 'fetch'>, path: string, body: unknown): Promise<SignInAnswer> {
  const response = await world.fetch(null, path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: JSON.parse(text) as SignInAnswer['body'] };
}

/** A request of a person of the tenant, in a session of her own, without any right. */
export function asPerson(tenant: TestTenant, userId: string): RequestContext {
  const actor = { type: 'user', id: userId, ip: '203.0.113.5', ua: 'test' } as const;
  return tenant.request([], { actor, sessionId: mintId('ses') });
}

/** Runs an operation that must succeed and returns its data. */
export async function done<Data>(
  ctx: RequestContext,
  document: string,
  variables: Record<string, unknown> = {},
): Promise<Data> {
  const { data, errors } = await ask(ctx, document, variables);
  expect(errors).toBeUndefined();
  return data as Data;
}

/** Returns what a browser is asked to make a passkey of. */
export async function creationOptions(ctx: RequestContext): Promise<CreationOptions> {
  const { viewer } = await done<{ viewer: { passkeyRegistrationOptions: CreationOptions } }>(
    ctx,
    '{ viewer { passkeyRegistrationOptions } }',
  );
  return viewer.passkeyRegistrationOptions;
}

export const ADD_PASSKEY =
  'mutation ($input: AddPasskeyInput!) { addPasskey(input: $input) { factor { id kind name backedUp } } }';

/** Gives a person a passkey and returns it with the id of its factor. */
export async function givePasskey(
  ctx: RequestContext,
  passkey: SoftwarePasskey = newPasskey(ORIGIN),
): Promise<{ passkey: SoftwarePasskey; factorId: string }> {
  const credential = passkey.create(await creationOptions(ctx));
  const { addPasskey } = await done<{ addPasskey: { factor: { id: string } } }>(ctx, ADD_PASSKEY, {
    input: { name: 'laptop', credential },
  });
  return { passkey, factorId: addPasskey.factor.id };
}

/** The code of a seed as an application shows it at a time, `steps` of 30 seconds away from it. */
export function totpCode(secret: string, at: Date, steps = 0): string {
  const totp = new TOTP({ secret: Secret.fromBase32(secret), algorithm: 'SHA1', digits: 6, period: 30 });
  return totp.generate({ timestamp: at.getTime() + steps * 30_000 });
}

/** A code that is none of a seed at any time near this one. */
export function wrongTotpCode(secret: string, at: Date): string {
  const near = new Set([-2, -1, 0, 1, 2].map((steps) => totpCode(secret, at, steps)));
  return ['000000', '111111', '222222', '333333', '444444', '555555'].find((code) => !near.has(code)) ?? '';
}

/** What somebody is given who begins with an authenticator application. */
export interface EnrolledTotp {
  readonly factor: { readonly id: string };
  readonly uri: string;
  readonly secret: string;
}

/** Begins with an authenticator application, which counts for nothing yet. */
export async function enrolTotp(ctx: RequestContext): Promise<EnrolledTotp> {
  const document =
    'mutation ($input: EnrolTotpInput!) { enrolTotp(input: $input) { factor { id kind name } uri secret } }';
  return (await done<{ enrolTotp: EnrolledTotp }>(ctx, document, { input: { name: 'phone' } })).enrolTotp;
}

export const CONFIRM_TOTP =
  'mutation ($input: ConfirmTotpInput!) { confirmTotp(input: $input) { factor { id kind name } recoveryCodes } }';

/** Gives a person an authenticator application; the code of this step is used up. */
export async function giveTotp(ctx: RequestContext): Promise<EnrolledTotp & { readonly codes: readonly string[] }> {
  const enrolled = await enrolTotp(ctx);
  const input = { factorId: enrolled.factor.id, code: totpCode(enrolled.secret, ctx.clock()) };
  const { confirmTotp } = await done<{ confirmTotp: { recoveryCodes: string[] } }>(ctx, CONFIRM_TOTP, { input });
  return { ...enrolled, codes: confirmTotp.recoveryCodes };
}

/** The statuses of answers, from the lowest. */
export function statusesOf(answers: readonly { readonly status: number }[]): number[] {
  return answers.map(({ status }) => status).toSorted((left, right) => left - right);
}

/** Asks for a challenge. */
export async function requestOptions(
  world: Pick<IdentityPlatform, 'fetch'>,
  body: { email?: string } = {},
): Promise<RequestOptions> {
  const { status, body: options } = await post(world, '/sso/passkey/options', body);
  expect(status).toBe(200);
  return options as unknown as RequestOptions;
}

/** Sends an answer to a challenge. */
export function sendPasskey(world: Pick<IdentityPlatform, 'fetch'>, credential: AssertionJson): Promise<SignInAnswer> {
  return post(world, '/sso/passkey', { credential });
}

/** Gives a person a link of an administrator and follows it. */
export async function followLink(world: IdentityPlatform, tenant: TestTenant, userId: string): Promise<SignInAnswer> {
  const token = await tenant.issue({ kind: 'sign_in_link', userId });
  return post(world, '/sso/link', { token });
}

/** Writes that a tenant has proven a domain. */
export async function proveDomain(world: IdentityPlatform, tenant: { id: Id<'tnt'> }, domain: string): Promise<void> {
  await withClient(world.stores.url('directory'), (client) =>
    client.query('insert into app.email_domains (domain, tenant_id) values ($1, $2)', [
      domain,
      uuidOf('tnt', tenant.id),
    ]),
  );
}

/** The mail of a platform. */
export interface Mailbox {
  /** Returns the message with this text that `act` brought, once it is there. */
  after(text: string, act: () => Promise<unknown>): Promise<string>;
  all(): Promise<string[]>;
  empty(): Promise<void>;
}

/** Opens the folder that mail is written to. */
export function mailboxOf(world: IdentityPlatform): Mailbox {
  const folder = join(world.platform.config.home, 'mail');
  const names = async () => (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.eml')).toSorted();
  const all = async () => Promise.all((await names()).map((name) => readFile(join(folder, name), 'utf8')));
  return {
    all,
    empty: () => rm(folder, { recursive: true, force: true }),
    after: async (text, act) => {
      await mkdir(folder, { recursive: true });
      const before = new Set(await all());
      const arrived = async () => (await all()).find((mail) => mail.includes(text) && !before.has(mail));
      let announce = (_mail: string) => {};
      const arrival = new Promise<string>((resolve) => (announce = resolve));
      const look = () => void arrived().then((mail) => mail !== undefined && announce(mail));
      const watcher = watch(folder, look);
      try {
        await act();
        look();
        return await arrival;
      } finally {
        watcher.close();
      }
    },
  };
}
