import { beforeAll, describe, expect, it } from 'vitest';
import { addCertificate } from '../../../subgraphs/identity/saml/service.ts';
import { assertionXml, responseXml, sign, type TestIdp } from './saml-identity-provider.ts';
import { RIGHT_RESPONSES } from './saml-responses.ts';
import { adminOf, idpOf, lastRefusal, openSamlWorld, type SamlConnection, type SamlWorld } from './saml-world.ts';

let world: SamlWorld;
let idps: { readonly rsa: TestIdp; readonly ec: TestIdp };
let connection: SamlConnection;
beforeAll(async () => {
  world = await openSamlWorld();
  idps = { rsa: idpOf(world), ec: idpOf(world, { kind: 'ec' }) };
  connection = await world.connect(world.acme, idps.rsa, { allowCbc: true });
  await addCertificate(adminOf(world.acme), { connectionId: connection.id, certificate: idps.ec.certificate });
});

describe('a right response', () => {
  it.each(RIGHT_RESPONSES)('is accepted: $name', async ({ name, document, change = {}, kind = 'rsa' }) => {
    const begun = await connection.begin();
    // Each signs in as its own subject, so that none finds the person by the link of the one before.
    const said = connection.said(begun, {
      nameId: change.attributes?.['email'] === undefined ? 'bob@acme.example' : name,
      ...change,
    });
    const answer = await connection.post(
      begun,
      document({ said, idp: idps[kind], certificate: connection.certificate }),
    );
    expect([await lastRefusal(world.acme), answer.status, answer.body.user?.id]).toEqual([null, 200, world.bob]);
    await world.peek('eu-1', 'delete from identity_links');
  });

  it('tells of the person, her session there and how she proved herself', async () => {
    const begun = await connection.begin();
    const said = connection.said(begun);
    await connection.post(begun, responseXml(said, sign(assertionXml(said), said.assertionId, idps.rsa)));
    const created = (await world.acme.events()).findLast(({ action }) => action === 'session.create');
    expect(created?.context).toMatchObject({
      user: world.bob,
      method: 'saml',
      amr: ['pwd'],
      connection: connection.id,
      idp_initiated: false,
    });
  });
});
