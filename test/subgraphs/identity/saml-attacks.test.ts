import { beforeAll, describe, expect, it } from 'vitest';
import { ATTACKS } from './saml-attacks.ts';
import { assertionXml, responseXml, sign, type TestIdp } from './saml-identity-provider.ts';
import { idpOf, lastRefusal, openSamlWorld, type SamlConnection, type SamlWorld } from './saml-world.ts';

let world: SamlWorld;
let idp: TestIdp;
let mallory: TestIdp;
let connection: SamlConnection;
beforeAll(async () => {
  world = await openSamlWorld();
  [idp, mallory] = [idpOf(world), idpOf(world)];
  connection = await world.connect(world.acme, idp);
});

describe('a hostile response', () => {
  it('is one of at least sixty', () => {
    expect(ATTACKS.length).toBeGreaterThanOrEqual(60);
    expect(new Set(ATTACKS.map(({ name }) => name)).size).toBe(ATTACKS.length);
  });

  it.each(ATTACKS)('is refused, and leaves the request to the right one: $name', async ({ rule, document }) => {
    const begun = await connection.begin();
    const said = connection.said(begun);
    const refused = await connection.post(begun, document({ said, idp, mallory, certificate: connection.certificate }));
    expect([refused.status, refused.body.token, refused.body.code]).toEqual([401, undefined, 'UNAUTHENTICATED']);
    expect(await lastRefusal(world.acme)).toBe(rule);
    const right = await connection.post(begun, responseXml(said, sign(assertionXml(said), said.assertionId, idp)));
    expect([right.status, right.body.user?.id]).toEqual([200, world.bob]);
  });
});
