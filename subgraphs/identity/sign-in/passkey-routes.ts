import type { RequestOrigin } from '#kit/credential.ts';
import type { Platform } from '#kit/request-context.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { readContinuation } from '../sessions/continuation.ts';
import { completed, withLockout } from './answer.ts';
import { jsonIn } from './body.ts';
import { json } from './page.ts';
import { passkeySignInOptions, signInWithPasskey } from './passkey-sign-in.ts';
import { readAddress } from './sign-in-link.ts';

/** Sign-in with a passkey: the challenge, and its answer. Making passkeys is in the graph, for whoever is signed in. */
export const passkeyRoutes: readonly Route[] = [
  { method: 'POST', path: '/sso/passkey/options', scope: null, handle: options },
  { method: 'POST', path: '/sso/passkey', scope: null, handle: withLockout(signIn) },
];

async function options(platform: Platform, req: RouteRequest): Promise<RouteResponse> {
  const email = jsonIn(req).texts.get('email');
  return json(200, await passkeySignInOptions(platform, email === null ? null : readAddress(email)));
}

async function signIn(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const { members, texts } = jsonIn(req);
  const continuation = readContinuation(platform.config, Object.fromEntries(texts));
  const sent = { credential: members.get('credential'), continuation };
  return completed(req, await signInWithPasskey(platform, sent, origin));
}
