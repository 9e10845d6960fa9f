import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTransport } from 'nodemailer';
import type { Config } from '#schema/config.ts';
import { TenonError } from '#schema/errors.ts';
import { uuidv7 } from '#schema/ids.ts';
import type { Platform } from './request-context.ts';

/** A plain message to one person. */
export interface Mail {
  /** One bare address; it is never read as a list. */
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

/** The settings that say how mail leaves. */
export type MailSettings = Pick<Config, 'mailUrl' | 'home' | 'deployment'>;

/** Returns how mail leaves from a cell: by its own server, so that it stays in its region, else by that of the settings. */
export function mailOfCell({ config, databases }: Pick<Platform, 'config' | 'databases'>, cell: string): MailSettings {
  const own = databases.cells.find(({ name }) => name === cell)?.mail;
  const { home, deployment, mailUrl } = config;
  return { home, deployment, mailUrl: own ?? mailUrl };
}

/** Longer than a healthy server needs to take a short message. */
const TIMEOUT_MS = 10_000;

/**
 * Sends a message by the mail server of the settings; without one it is written as `<home>/mail/<uuid>.eml`, readable by
 * its owner alone, since it may hold a sign-in link. A server that does not take it is SERVICE_UNAVAILABLE.
 */
export async function sendMail(settings: MailSettings, mail: Mail): Promise<void> {
  const message = {
    from: { name: 'Tenon', address: `no-reply@${settings.deployment}` },
    to: { name: '', address: mail.to },
    subject: mail.subject,
    text: mail.text,
  };
  if (settings.mailUrl === null) await writeToFolder(join(settings.home, 'mail'), message);
  else await submit(settings.mailUrl, message);
}

interface Message {
  readonly from: { readonly name: string; readonly address: string };
  readonly to: { readonly name: string; readonly address: string };
  readonly subject: string;
  readonly text: string;
}

async function submit(url: string, message: Message): Promise<void> {
  const timeouts = { connectionTimeout: TIMEOUT_MS, greetingTimeout: TIMEOUT_MS, socketTimeout: TIMEOUT_MS };
  const transport = createTransport({ url, ...timeouts });
  try {
    await transport.sendMail(message);
  } catch (cause) {
    throw new TenonError('SERVICE_UNAVAILABLE', 'the mail server did not take a message', { cause });
  } finally {
    transport.close();
  }
}

async function writeToFolder(folder: string, message: Message): Promise<void> {
  const composer = createTransport({ streamTransport: true, buffer: true, newline: 'unix' });
  const { message: bytes } = await composer.sendMail(message);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, `${uuidv7()}.eml`);
  // Renamed when it is whole: whoever reads the folder never sees half a message.
  await writeFile(`${file}.partial`, Buffer.isBuffer(bytes) ? bytes : '', { mode: 0o600, flag: 'wx' });
  await rename(`${file}.partial`, file);
}
