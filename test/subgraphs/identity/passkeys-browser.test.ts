import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser, serveEmptyPage, type Browser, type BrowserPage } from '../../support/browser.ts';
import { openHouse, type House } from '../../support/house.ts';
import { freePort, isInstalled } from '../../support/programs.ts';

const canRun = isInstalled(['chromium'], 'passkeys in a real browser, with its own authenticator');

describe.runIf(canRun)('a passkey in a real browser', () => {
  let house: House;
  let browser: Browser;
  let page: BrowserPage;
  let authenticatorId: string;
  let port: number;
  let closePage: () => Promise<void>;

  beforeAll(async () => {
    port = await freePort();
    const origin = `http://localhost:${port}`;
    house = await openHouse({ env: { TENON_PASSKEY_RP_ID: 'localhost', TENON_PASSKEY_ORIGINS: origin } });
    closePage = await serveEmptyPage(port);
    browser = await openBrowser();
    page = await browser.open(`${origin}/`);
    authenticatorId = await addAuthenticator(page);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await closePage?.();
  });

  async function addAuthenticator(to: BrowserPage): Promise<string> {
    await to.send('WebAuthn.enable');
    const added = await to.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    return String(added['authenticatorId']);
  }

  /** What an app does in its page: options in, the answer of the authenticator out, both as JSON. */
  const create = (options: unknown, where = page) =>
    where.evaluate(
      `navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(${JSON.stringify(options)}) }).then((made) => made.toJSON())`,
    );
  const get = (options: unknown, where = page) =>
    where.evaluate(
      `navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(${JSON.stringify(options)}) }).then((made) => made.toJSON())`,
    );

  async function registrationOptions(): Promise<unknown> {
    const { data } = await house.graphql(house.acme.member, '{ viewer { passkeyRegistrationOptions } }');
    return (data as unknown as { viewer: { passkeyRegistrationOptions: unknown } }).viewer.passkeyRegistrationOptions;
  }

  async function post(path: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await house.fetch(null, path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  const requestOptions = async () => (await post('/sso/passkey/options', {})).body;

  it('is made by the browser for a person who is signed in, over the gateway', async () => {
    const credential = await create(await registrationOptions());
    const { data, errors } = await house.graphql(
      house.acme.member,
      'mutation ($input: AddPasskeyInput!) { addPasskey(input: $input) { factor { kind name backedUp } } }',
      { input: { name: 'browser', credential } },
    );
    expect(errors).toBeUndefined();
    expect(data).toEqual({ addPasskey: { factor: { kind: 'PASSKEY', name: 'browser', backedUp: false } } });
    const { credentials } = (await page.send('WebAuthn.getCredentials', { authenticatorId })) as {
      credentials: { isResidentCredential: boolean; rpId: string }[];
    };
    expect(credentials).toMatchObject([{ isResidentCredential: true, rpId: 'localhost' }]);
  });

  it('signs her in again and again, with nobody saying who she is', async () => {
    const { data } = await house.graphql(house.acme.member, '{ viewer { user { id } } }');
    const { user } = (data as unknown as { viewer: { user: { id: string } } }).viewer;
    for (let round = 0; round < 2; round++) {
      const { status, body } = await post('/sso/passkey', { credential: await get(await requestOptions()) });
      expect([status, body['user']]).toEqual([200, user]);
      const seen = await house.graphql(String(body['token']), '{ viewer { user { id } } }');
      expect(seen.data).toEqual({ viewer: { user } });
    }
  });

  it('opens nothing with an answer that was sent before', async () => {
    const credential = await get(await requestOptions());
    const statuses = [await post('/sso/passkey', { credential }), await post('/sso/passkey', { credential })];
    expect(statuses.map(({ status }) => status)).toEqual([200, 401]);
  });

  it('is not made twice on one authenticator', async () => {
    await expect(create(await registrationOptions())).rejects.toThrow('InvalidStateError');
  });

  it('is not used where the authenticator does not know its user', async () => {
    await page.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
    await expect(get({ ...(await requestOptions()), timeout: 1000 })).rejects.toThrow('NotAllowedError');
    await page.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true });
  });

  it('is not used by a page of another domain', async () => {
    const elsewhere = await browser.open(`http://127.0.0.1:${port}/`);
    await addAuthenticator(elsewhere);
    await expect(get(await requestOptions(), elsewhere)).rejects.toThrow('SecurityError');
  });
});
