import { createVerify, X509Certificate } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { listen, newHttpServer } from '#kit/http-server.ts';
import { mountRoutes } from '#kit/mount-routes.ts';
import { fail } from '#schema/errors.ts';
import { identity } from '../../../subgraphs/identity/index.ts';
import { disableConnection } from '../../../subgraphs/identity/connections/service.ts';
import {
  addCertificate,
  removeCertificate,
  rotateServiceKey,
  updateSamlConnection,
} from '../../../subgraphs/identity/saml/service.ts';
import { shownSettings } from '../../../subgraphs/identity/saml/shown-settings.ts';
import { findConnection } from '../../../subgraphs/identity/connections/service.ts';
import {
  assertionXml,
  certificateFor,
  encrypt,
  responseXml,
  sign,
  type Said,
  type TestIdp,
} from './saml-identity-provider.ts';
import { adminOf, BOB, idpOf, lastRefusal, openSamlWorld, type SamlConnection, type SamlWorld } from './saml-world.ts';

let world: SamlWorld;
let idp: TestIdp;
let connection: SamlConnection;
const start = new Date();
beforeAll(async () => {
  world = await openSamlWorld();
  world.setNow(start);
  Object.assign(world.platform.config, { redirectUris: ['https://app.example/back'] });
  idp = idpOf(world);
  connection = await world.connect(world.acme, idp);
});
afterEach(() => world.setNow(start));

function documentOf(said: Said, by: TestIdp = idp): string {
  return responseXml(said, sign(assertionXml(said), said.assertionId, by));
}

describe('a sign-in over SAML', () => {
  it('sends a request that names us and is signed with our key', async () => {
    const { location, request, requestId } = await connection.begin('?force=true');
    expect(`${location.origin}${location.pathname}`).toBe('https://idp.example/sso');
    expect(request).toContain(`<saml:Issuer>${connection.entityId}</saml:Issuer>`);
    expect(request).toContain(`AssertionConsumerServiceURL="${connection.acsUrl}"`);
    expect(request).toMatch(/Destination="https:\/\/idp\.example\/sso" ForceAuthn="true"/);
    expect(requestId).toMatch(/^[A-Za-z_][\w.-]{60,}$/);
    const [signed = '', signature = ''] = location.search.slice(1).split('&Signature=');
    const key = new X509Certificate(connection.certificate).publicKey;
    const verify = createVerify('sha256').update(signed);
    expect(verify.verify(key, decodeURIComponent(signature), 'base64')).toBe(true);
  });

  it('comes back with a session of the person', async () => {
    const begun = await connection.begin();
    const answer = await connection.post(begun, documentOf(connection.said(begun)));
    expect([answer.status, answer.body.user?.id]).toEqual([200, world.bob]);
    const me = await world.fetch(answer.body.token ?? '', '/scim/v2/Users');
    // The session is known, and has not the right of an identity provider.
    expect(me.status).toBe(403);
  });

  it('goes on to the app that sent her, with a code in place of the session, and to no other', async () => {
    const app = { redirect_uri: 'https://app.example/back', state: 's-1', code_challenge: 'A'.repeat(43) };
    const begun = await connection.begin(`?${new URLSearchParams(app).toString()}`);
    const message = Buffer.from(documentOf(connection.said(begun))).toString('base64');
    const response = await world.fetch(null, new URL(connection.acsUrl).pathname, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/x-www-form-urlencoded', cookie: begun.cookie },
      body: new URLSearchParams({ SAMLResponse: message }).toString(),
    });
    const location = new URL(response.headers.get('location') ?? '');
    expect([response.status, `${location.origin}${location.pathname}`]).toEqual([302, app.redirect_uri]);
    expect([location.searchParams.get('state'), location.searchParams.get('code')?.startsWith('tnc_')]).toEqual([
      's-1',
      true,
    ]);
    const other = new URLSearchParams({ ...app, redirect_uri: 'https://mallory.example/' }).toString();
    const begin = `${new URL(connection.acsUrl).pathname.replace(/acs$/, 'start')}?${other}`;
    expect((await world.fetch(null, begin, { redirect: 'manual' })).status).toBe(400);
  });

  it('is refused without the cookie of its browser, or with that of another', async () => {
    const [mine, other] = [await connection.begin(), await connection.begin()];
    const document = documentOf(connection.said(mine));
    for (const cookie of ['', other.cookie, mine.cookie.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))]) {
      expect((await connection.post({ ...mine, cookie }, document)).status).toBe(401);
      expect(await lastRefusal(world.acme)).toBe('unknown_flow');
    }
    expect((await connection.post(mine, document)).status).toBe(200);
  });

  it('is refused when its request is over, and when it was used up', async () => {
    const begun = await connection.begin();
    world.setNow(new Date(start.getTime() + 10 * 60_000));
    const late = connection.said(begun);
    expect((await connection.post(begun, documentOf(late))).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('unknown_flow');
    world.setNow(start);
    expect((await connection.post(begun, documentOf(connection.said(begun)))).status).toBe(200);
    expect((await connection.post(begun, documentOf(connection.said(begun)))).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('unknown_flow');
  });

  it('takes a body of a form alone, with one response in it', async () => {
    const address = new URL(connection.acsUrl).pathname;
    const json = await world.fetch(null, address, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(json.status).toBe(415);
    const begun = await connection.begin();
    const message = Buffer.from(documentOf(connection.said(begun))).toString('base64');
    const twice = `SAMLResponse=${encodeURIComponent(message)}&SAMLResponse=${encodeURIComponent(message)}`;
    const headers = { 'content-type': 'application/x-www-form-urlencoded', cookie: begun.cookie };
    expect((await world.fetch(null, address, { method: 'POST', headers, body: twice })).status).toBe(401);
    for (const raw of ['%%%', Buffer.from([0xff, 0xfe, 0x3c, 0]).toString('base64'), 'A'.repeat(400_000)]) {
      expect((await connection.postRaw(begun, raw)).status).toBe(401);
      expect(await lastRefusal(world.acme)).toBe('document');
    }
    expect((await connection.postRaw(begun, message.replaceAll(/.{76}/g, '$&\r\n'))).status).toBe(200);
  });

  it('opens nothing over a draft, a disabled connection, or one of another tenant', async () => {
    const other = await world.connect(world.acme, idp);
    const begun = await other.begin();
    await disableConnection(adminOf(world.acme), other.id);
    expect((await other.post(begun, documentOf(other.said(begun)))).status).toBe(401);
    const foreign = `/sso/saml/${world.globex.id}/${connection.id}`;
    for (const [method, path] of [
      ['GET', '/start'],
      ['POST', '/acs'],
    ] as const) {
      const form = { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'SAMLResponse=eA==' };
      const response = await world.fetch(null, `${foreign}${path}`, {
        method,
        redirect: 'manual',
        ...(method === 'POST' && form),
      });
      expect(response.status).toBe(401);
    }
    expect((await world.fetch(null, `${foreign}/metadata`)).status).toBe(404);
    expect((await world.fetch(null, `/sso/saml/nobody/${connection.id}/start`, { redirect: 'manual' })).status).toBe(
      401,
    );
  });
});

describe('an assertion', () => {
  it('is used once, also where nobody asked for it and another replica is asked', async () => {
    const open = await world.connect(world.acme, idp, { allowIdpInitiated: true });
    const document = documentOf(open.said(null));
    expect((await open.post(null, document)).status).toBe(200);
    expect((await open.post(null, document)).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('replay');
    const replica = newHttpServer(world.platform);
    const contextOf = () => fail('UNAUTHENTICATED', 'no credential');
    mountRoutes(replica, identity.routes ?? [], { platform: world.platform, contextOf });
    const url = await listen(replica, world.platform.config);
    const body = new URLSearchParams({ SAMLResponse: Buffer.from(document).toString('base64') }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await fetch(`${url}${new URL(open.acsUrl).pathname}`, { method: 'POST', headers, body });
    await replica.close();
    expect(answer.status).toBe(401);
    const refusals = (await world.acme.events()).filter(({ context }) => context['rule'] === 'replay');
    expect(refusals).toHaveLength(2);
  });

  it('is used once by two that come at the same moment', async () => {
    const open = await world.connect(world.acme, idp, { allowIdpInitiated: true });
    const document = documentOf(open.said(null));
    const answers = await Promise.all([1, 2, 3].map(() => open.post(null, document)));
    expect(answers.map(({ status }) => status).toSorted((left, right) => left - right)).toEqual([200, 401, 401]);
  });

  it('is not asked for only where the connection says so', async () => {
    expect((await connection.post(null, documentOf(connection.said(null)))).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('unsolicited');
  });

  it('for one connection opens nothing over another of the same identity provider', async () => {
    const twin = await world.connect(world.acme, idp, { allowIdpInitiated: true });
    const begun = await twin.begin();
    expect((await twin.post(begun, documentOf(connection.said(begun)))).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('destination');
    const said = { ...connection.said(begun), destination: null };
    expect((await twin.post(begun, documentOf(said))).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('recipient');
    expect((await twin.post(begun, documentOf({ ...said, recipient: twin.acsUrl }))).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('audience');
  });

  it('for one tenant opens nothing in another that has the same identity provider', async () => {
    const foreign = await world.connect(world.globex, idp, { allowIdpInitiated: true, jit: true });
    expect((await foreign.post(null, documentOf(connection.said(null)))).status).toBe(401);
    expect(await lastRefusal(world.globex)).toBe('destination');
    // Even said to the right address, it speaks of somebody whose domain is another tenant's.
    expect((await foreign.post(null, documentOf(foreign.said(null)))).status).toBe(401);
    expect(await lastRefusal(world.globex)).toBe('foreign_domain');
  });
});

describe('a certificate of the identity provider', () => {
  it('is used while it is valid, and not a second longer', async () => {
    const short = { ...idp, certificate: certificateFor(idp.key, start, [-1, 1]) };
    const one = await world.connect(world.acme, short, { allowIdpInitiated: true });
    for (const [offsetMs, status] of [
      [0, 200],
      [86_399_000, 200],
      [86_400_000, 401],
      [-86_401_000, 401],
    ] as const) {
      world.setNow(new Date(Math.floor(start.getTime() / 1000) * 1000 + offsetMs));
      expect((await one.post(null, documentOf(one.said(null)))).status).toBe(status);
    }
    expect(await lastRefusal(world.acme)).toBe('certificate');
  });

  it('stands beside its successor until it is removed', async () => {
    const next = idpOf(world);
    const one = await world.connect(world.acme, idp, { allowIdpInitiated: true });
    expect((await one.post(null, documentOf(one.said(null), next))).status).toBe(401);
    await addCertificate(adminOf(world.acme), { connectionId: one.id, certificate: next.certificate });
    for (const by of [idp, next]) expect((await one.post(null, documentOf(one.said(null), by))).status).toBe(200);
    const fingerprint = new X509Certificate(idp.certificate).fingerprint256.replaceAll(':', '').toLowerCase();
    await removeCertificate(adminOf(world.acme), { connectionId: one.id, fingerprint });
    expect((await one.post(null, documentOf(one.said(null)))).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('signature');
    expect((await one.post(null, documentOf(one.said(null), next))).status).toBe(200);
  });

  it('is warned of once a day from thirty days before its end, unless its successor is there', async () => {
    const ending = { ...idp, certificate: certificateFor(idp.key, start, [-1, 31]) };
    const one = await world.connect(world.acme, ending);
    const warnings = async () =>
      (await world.acme.events()).filter(({ action }) => action === 'saml_certificate.expire_soon').length;
    const counts: number[] = [];
    for (const [days, hours] of [
      [0, 0],
      [1, 1],
      [1, 2],
      [2, 2],
    ] as const) {
      world.setNow(new Date(start.getTime() + (days * 24 + hours) * 3_600_000));
      await Promise.all([one.begin(), one.begin()]);
      counts.push(await warnings());
    }
    const connectionNow = await findConnection(adminOf(world.acme), one.id);
    if (connectionNow === null) throw new Error('it is there');
    const shown = shownSettings(adminOf(world.acme), connectionNow);
    expect([counts, shown.expiresSoon, shown.certificates[0]?.expiresSoon]).toEqual([[0, 1, 1, 2], true, true]);
    await addCertificate(adminOf(world.acme), { connectionId: one.id, certificate: idp.certificate });
    world.setNow(new Date(start.getTime() + 5 * 24 * 3_600_000));
    await one.begin();
    expect(await warnings()).toBe(2);
  });
});

describe('our own key', () => {
  it('still opens what was encrypted for the one before, until the next rotation', async () => {
    const one = await world.connect(world.acme, idp, { allowIdpInitiated: true, encryptedAssertionsOnly: true });
    const post = async () => {
      const said = one.said(null);
      return one.post(
        null,
        responseXml(said, encrypt(sign(assertionXml(said), said.assertionId, idp), one.certificate)),
      );
    };
    expect((await post()).status).toBe(200);
    await rotateServiceKey(adminOf(world.acme), one.id);
    expect((await post()).status).toBe(200);
    await rotateServiceKey(adminOf(world.acme), one.id);
    expect((await post()).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('decryption');
  });

  it('is needed where the connection takes encrypted assertions alone', async () => {
    const one = await world.connect(world.acme, idp, { allowIdpInitiated: true, encryptedAssertionsOnly: true });
    expect((await one.post(null, documentOf(one.said(null)))).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('not_encrypted');
    await updateSamlConnection(adminOf(world.acme), { connectionId: one.id, encryptedAssertionsOnly: false });
    expect((await one.post(null, documentOf(one.said(null)))).status).toBe(200);
  });
});

describe('a person over SAML', () => {
  it('is found by her subject even after her address has changed there', async () => {
    const one = await world.connect(world.acme, idp, { allowIdpInitiated: true });
    const persistent = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent';
    const as = (email: string) =>
      one.post(
        null,
        documentOf(one.said(null, { nameId: 'subject-1', nameIdFormat: persistent, attributes: { email: [email] } })),
      );
    expect((await as(BOB)).body.user?.id).toBe(world.bob);
    expect((await as('robert@acme.example')).body.user?.id).toBe(world.bob);
  });

  it('is made anew where the connection says so, with the groups it names', async () => {
    const one = await world.connect(world.acme, idp, { allowIdpInitiated: true, jit: true, groupsAttribute: 'groups' });
    const said = one.said(null, {
      nameId: 'eve@acme.example',
      attributes: { email: ['eve@acme.example'], givenName: ['Eve'], sn: ['Adams'], groups: ['Builders', 'Painters'] },
    });
    const answer = await one.post(null, documentOf(said));
    const user = await world.acme.scim('GET', `/Users/${answer.body.user?.id ?? ''}`);
    expect([answer.status, user.body.userName, user.body.displayName]).toEqual([200, 'eve@acme.example', 'Eve Adams']);
    expect(user.body.groups.map(({ display }) => display).toSorted()).toEqual(['Builders', 'Painters']);
  });

  it('whom provisioning has deactivated is not let in', async () => {
    const one = await world.connect(world.acme, idp, { allowIdpInitiated: true, jit: true });
    const { body } = await world.acme.scim('POST', '/Users', {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
      userName: 'gone@acme.example',
      active: false,
    });
    expect(body.userName).toBe('gone@acme.example');
    const said = one.said(null, { nameId: 'gone@acme.example', attributes: { email: ['gone@acme.example'] } });
    expect((await one.post(null, documentOf(said))).status).toBe(401);
    expect(await lastRefusal(world.acme)).toBe('inactive_person');
  });
});
