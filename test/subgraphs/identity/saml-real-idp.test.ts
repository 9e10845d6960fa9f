import { beforeAll, describe, expect, it } from 'vitest';
import { activateConnection } from '../../../subgraphs/identity/connections/service.ts';
import { createSamlConnection, refreshMetadata, rotateServiceKey } from '../../../subgraphs/identity/saml/service.ts';
import { shownSettings } from '../../../subgraphs/identity/saml/shown-settings.ts';
import type { SamlServer } from './saml-server.ts';
import { startSamlServer } from './saml-server.ts';
import { adminOf, idpOf, lastRefusal, openSamlWorld, type SamlWorld } from './saml-world.ts';

let world: SamlWorld;
let server: SamlServer;
let connectionId: string;
let start: string;
beforeAll(async () => {
  world = await openSamlWorld();
  server = await startSamlServer(idpOf(world, { entityId: 'urn:idp:auth0' }));
  const admin = adminOf(world.acme);
  const made = await createSamlConnection(admin, { name: 'samlp', metadataUrl: server.metadataUrl });
  await activateConnection(admin, made.id);
  connectionId = made.id;
  const { serviceProvider } = shownSettings(admin, made);
  start = new URL(serviceProvider.startUrl).pathname;
  Object.assign(server.settings, { acsUrl: serviceProvider.acsUrl, signingCert: serviceProvider.certificates[0] });
});

/** What a browser does: goes to the identity provider, where somebody is signed in, and posts the form that it answers. */
async function signIn(): Promise<Response> {
  const begun = await world.fetch(null, start, { redirect: 'manual' });
  const answer = await fetch(begun.headers.get('location') ?? '');
  const html = await answer.text();
  if (answer.status !== 200) throw new Error(`the identity provider answered ${answer.status}: ${html.slice(0, 300)}`);
  const escaped = /name="SAMLResponse"\s+value="([^"]+)"/.exec(html)?.[1] ?? '';
  const message = escaped.replaceAll(
    /&#x([0-9a-f]+);|&#(\d+);/gi,
    (_, hex: string | undefined, decimal: string | undefined) =>
      String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)),
  );
  return world.fetch(null, new URL(server.settings.acsUrl).pathname, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      cookie: (begun.headers.get('set-cookie') ?? '').split(';')[0] ?? '',
    },
    body: new URLSearchParams({ SAMLResponse: message }).toString(),
  });
}

describe('a real identity provider, made known by the address of its metadata', () => {
  it.each([
    ['the assertion signed', { signAssertion: true, signResponse: false, encrypt: false }],
    ['the response signed', { signAssertion: false, signResponse: true, encrypt: false }],
    ['both signed', { signAssertion: true, signResponse: true, encrypt: false }],
    ['the assertion signed and encrypted', { signAssertion: true, signResponse: false, encrypt: true }],
  ])('checks our signed request and signs somebody in: %s', async (_name, change) => {
    Object.assign(server.settings, change);
    const answer = await signIn();
    expect([await lastRefusal(world.acme), answer.status]).toEqual([null, 200]);
    expect(((await answer.json()) as { user: { id: string } }).user.id).toBe(world.bob);
  });

  it('refuses our request once we sign with a key that it has not been told of', async () => {
    await rotateServiceKey(adminOf(world.acme), connectionId);
    await expect(signIn()).rejects.toThrow(/the identity provider answered/);
  });

  it('is read again by its metadata, which keep its certificate', async () => {
    const before = shownSettings(adminOf(world.acme), await refreshMetadata(adminOf(world.acme), connectionId));
    expect(before.certificates).toHaveLength(1);
    expect(before.refreshedAt).toEqual(world.platform.clock());
    expect((await world.acme.events()).at(-1)?.action).toBe('identity_connection.refresh_metadata');
  });
});
