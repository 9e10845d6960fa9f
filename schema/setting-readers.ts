import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { encodeCosignerKey, parseCosignerKey } from './cosignature.ts';
import { TIERS, type Tier } from './tenant-context.ts';
import { PLACEMENTS, type Placement } from './tenant-store.ts';

// What a setting takes: each reads a text from outside and throws where it cannot be used.

/** One cell: an independent slice of the platform that holds everything of its tenants in one region. */
export interface CellSettings {
  readonly name: string;
  readonly region: string;
  /** URL of the tenant database, with the role of the process that reads it. */
  readonly database: string;
  /** URL of the audit database, with the role of the process that reads it. */
  readonly auditDatabase: string;
  /** Where sealed segments go: `file:///folder` or `s3://bucket?endpoint=...&region=...`. */
  readonly archive: string;
  /** Its mail server, `smtp://...`; absent it is that of the settings, which all cells share. */
  readonly mail?: string;
}

/** One setting: the variable it is read from, how, what holds without it, and the sentence of the README's table. */
export interface Setting<T> {
  readonly env: string;
  readonly read: (text: string) => T;
  /** What `read` takes, as the error message says it. */
  readonly takes: string;
  readonly fallback: T;
  readonly about: string;
  /** Its value is never shown, not even where it cannot be used. */
  readonly secret?: true;
}

/** A witness that is asked to cosign. */
export interface WitnessSettings {
  /** `name+id+base64`, of type 0x04. */
  readonly verifierKey: string;
  readonly url: string;
}

/** One of these words. */
export function oneOf<const T extends string>(...values: T[]): (text: string) => T {
  return (value) => values.find((known) => known === value) ?? refuse();
}

/** A whole number between the two, in decimal digits. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (value) => {
    const number = Number(value);
    return /^\d+$/.test(value) && number >= least && number <= most ? number : refuse();
  };
}

/** Any text. */
export function text(value: string): string {
  return value;
}

/** A printable text, so that it can stand in a header. */
export function credential(value: string): string {
  return /^[\x21-\x7e]{3,256}$/.test(value) ? value : refuse();
}

/** A path, made absolute. */
export function path(value: string): string {
  return resolve(value);
}

/** A host-like name. */
export function word(value: string): string {
  return /^[a-z0-9.-]{1,100}$/.test(value) ? value : refuse();
}

/** A URL, without a slash at its end. */
export function url(value: string): string {
  return new URL(value).href.replace(/\/$/, '');
}

/** Networks in CIDR notation; an address alone stands for itself. */
export function networks(value: string): string[] {
  return value.split(',').map((part) => {
    const [address = '', length = '', ...rest] = part.trim().split('/');
    const most = isIP(address) === 4 ? 32 : 128;
    const fits = length === '' || (/^\d{1,3}$/.test(length) && Number(length) <= most);
    return isIP(address) !== 0 && fits && rest.length === 0 ? part.trim() : refuse();
  });
}

/** Origins as browsers write them (RFC 6454): without a path, not even a slash. */
export function origins(value: string): string[] {
  return value.split(',').map((part) => {
    const { origin } = new URL(part.trim());
    return origin === part.trim() ? origin : refuse();
  });
}

/** As RFC 6749 section 3.1.2 has them, without a fragment; plain http stays on the machine (RFC 8252 section 7.3). */
export function redirectUris(value: string): readonly string[] {
  return value.split(',').map((part) => {
    const uri = part.trim();
    const { protocol, hostname, hash, username } = new URL(uri);
    const isScript = ['javascript:', 'data:', 'vbscript:', 'blob:', 'file:'].includes(protocol);
    const isPlain = protocol === 'http:' && !['localhost', '127.0.0.1', '[::1]'].includes(hostname);
    return isScript || isPlain || hash !== '' || username !== '' || uri.length > 2048 ? refuse() : uri;
  });
}

function urlOf(...protocols: string[]): (text: string) => string {
  return (value) => (protocols.includes(new URL(value).protocol) ? value : refuse());
}

/** The address of a PostgreSQL database. */
export function postgresUrl(value: string): string {
  return urlOf('postgres:', 'postgresql:')(value);
}

/** The address of a Redis or Valkey. */
export function redisUrl(value: string): string {
  return urlOf('redis:', 'rediss:')(value);
}

/** The address of a mail server. */
function mailUrl(value: string): string {
  return urlOf('smtp:', 'smtps:')(value);
}

/** The address of an archive. */
export function archiveUrl(value: string): string {
  return urlOf('file:', 's3:')(value);
}

/** Cells as JSON, or in the JSON file of that path; no two of one name. */
export function cells(value: string): CellSettings[] {
  const json = value.trimStart().startsWith('[') ? value : readFileSync(value, 'utf8');
  const list = JSON.parse(json) as Partial<CellSettings>[];
  if (!Array.isArray(list) || list.length === 0) refuse();
  const found = list.map(cellOf);
  return new Set(found.map(({ name }) => name)).size === found.length ? found : refuse();
}

function cellOf(cell: Partial<CellSettings>): CellSettings {
  return {
    name: word(cell.name ?? refuse()),
    region: word(cell.region ?? refuse()),
    database: postgresUrl(cell.database ?? refuse()),
    auditDatabase: postgresUrl(cell.auditDatabase ?? refuse()),
    archive: archiveUrl(cell.archive ?? refuse()),
    ...(cell.mail === undefined ? {} : { mail: mailUrl(cell.mail) }),
  };
}

/** How the rows of new tenants lie, by tier: `ENTERPRISE_PLUS=silo,ENTERPRISE=bridge`. */
export function tierPlacements(value: string): Partial<Record<Tier, Placement>> {
  const pairs = value.split(',').map((pair) => {
    const [tier, placement, ...rest] = pair.trim().split('=');
    if (rest.length > 0) refuse();
    return [
      TIERS.find((known) => known === tier) ?? refuse(),
      PLACEMENTS.find((known) => known === placement) ?? refuse(),
    ];
  });
  return Object.fromEntries(pairs) as Partial<Record<Tier, Placement>>;
}

/** How many connections a process may have to the stores beside the pools. */
export interface StoreBudget {
  /** To the database of one tenant. */
  readonly perSilo: number;
  /** To a database that many tenants have schemas in. */
  readonly perBridge: number;
  /** To all of a cell together; at least one database fits in. */
  readonly perCell: number;
  /** How long to wait for room while all are in use; 5 seconds by default. */
  readonly waitMs?: number;
}

/** A budget of connections: `silo=3,bridge=8,cell=64`. */
export function storeBudget(value: string): StoreBudget {
  const [, perSilo, perBridge, perCell] = (/^silo=(\d{1,4}),bridge=(\d{1,4}),cell=(\d{1,4})$/.exec(value) ?? []).map(
    Number,
  );
  if (perSilo === undefined || perBridge === undefined || perCell === undefined) return refuse();
  // What works in a store while a transaction is open there needs a second connection.
  return perSilo < 2 || perBridge < 2 || perCell < Math.max(perSilo, perBridge)
    ? refuse()
    : { perSilo, perBridge, perCell };
}

/** Verifier key and address of each witness; no two may be the same. */
export function witnesses(value: string): readonly WitnessSettings[] {
  const list = value.split(',').map((part) => {
    const [verifierKey = '', address = '', ...rest] = part.trim().split(/ +/);
    if (rest.length > 0 || !/^https?:/.test(address)) refuse();
    return { verifierKey: encodeCosignerKey(parseCosignerKey(verifierKey)), url: url(address) };
  });
  return new Set(list.map(({ verifierKey }) => verifierKey)).size === list.length ? list : refuse();
}

/** `local`, or the address of each subgraph. */
export function subgraphs(value: string): 'local' | Record<string, string> {
  if (value === 'local') return value;
  const pairs = value.split(',').map((pair) => {
    const at = pair.indexOf('=');
    return at > 0 ? ([pair.slice(0, at).trim(), url(pair.slice(at + 1).trim())] as const) : refuse();
  });
  return Object.fromEntries(pairs);
}

/** Returns a value as it may be shown. A bad value is shown to whoever starts the process, often into a log: credentials inside it are not. */
export function withoutPassword(value: string): string {
  return value.replaceAll(/:\/\/[^@\s"]*@/g, '://...@').slice(0, 120);
}

function refuse(): never {
  throw new TypeError('not usable');
}
