import express from 'express';
import { X509Certificate } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import samlp, { type IdPOptions } from 'samlp';
import { afterAll } from 'vitest';
import type { TestIdp } from './saml-identity-provider.ts';

/** A real identity provider (npm `samlp`) over HTTP, at which somebody is signed in. */
export interface SamlServer {
  readonly url: string;
  readonly metadataUrl: string;
  /** What it is told of us, and how it answers; may be changed between requests. */
  readonly settings: SamlServerSettings;
}

/** How the server answers. */
export interface SamlServerSettings {
  acsUrl: string;
  /** Our certificate: a request that is not signed with it is refused. */
  signingCert: string;
  signResponse: boolean;
  signAssertion: boolean;
  encrypt: boolean;
  email: string;
}

/** Starts it; it is stopped when the test file ends. */
export async function startSamlServer(idp: TestIdp): Promise<SamlServer> {
  const settings: SamlServerSettings = {
    acsUrl: '',
    signingCert: '',
    signResponse: false,
    signAssertion: true,
    encrypt: false,
    email: 'bob@acme.example',
  };
  const { entityId: issuer, certificate: cert } = idp;
  const key = idp.key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const app = express();
  app.get('/metadata', samlp.metadata({ issuer, cert, redirectEndpointPath: '/sso', postEndpointPath: '/sso' }));
  app.get('/sso', (req, res, next) => {
    const options: IdPOptions & Record<string, unknown> = {
      issuer,
      cert,
      key,
      recipient: settings.acsUrl,
      destination: settings.acsUrl,
      signingCert: settings.signingCert,
      signResponse: settings.signResponse,
      signAssertion: settings.signAssertion,
      lifetimeInSeconds: 300,
      getPostURL: (_audience, _request, _req, done) => done(null, settings.acsUrl),
      getUserFromRequest: () => ({
        id: 'u-1',
        displayName: 'Bob',
        name: { givenName: 'Bob', familyName: 'B' },
        emails: [{ value: settings.email }],
      }),
      ...(settings.encrypt && {
        encryptionCert: settings.signingCert,
        encryptionPublicKey: publicKeyOf(settings.signingCert),
        encryptionAlgorithm: 'http://www.w3.org/2009/xmlenc11#aes256-gcm',
      }),
    };
    samlp.auth(options)(req, res, next);
  });
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  afterAll(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, metadataUrl: `${url}/metadata`, settings };
}

function publicKeyOf(certificate: string): string {
  return new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'pem' }).toString();
}
