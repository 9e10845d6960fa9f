import { resolve } from 'node:path';
import { LIMITS, parseLimits } from './limits.ts';
import { STORE_SETTINGS } from './store-settings.ts';
import {
  archiveUrl,
  cells,
  credential,
  networks,
  oneOf,
  origins,
  path,
  postgresUrl,
  redirectUris,
  redisUrl,
  subgraphs,
  text,
  url,
  wholeNumber,
  withoutPassword,
  witnesses,
  word,
  type Setting,
  type WitnessSettings,
} from './setting-readers.ts';

/** Every setting once; the type, `.env.example` and the README's table come from here. */
export const SETTINGS = {
  profile: {
    env: 'TENON_PROFILE',
    read: oneOf('embedded', 'production'),
    takes: 'embedded or production',
    fallback: 'embedded' as const,
    about: 'embedded brings its own PostgreSQL, worker and demo tenants; production uses what the other settings name.',
  },
  port: {
    env: 'PORT',
    read: wholeNumber(0, 65_535),
    takes: 'a port number',
    fallback: 4000,
    about: 'The one port everything is served on; 0 takes a free one.',
  },
  host: {
    env: 'HOST',
    read: text,
    takes: 'an address',
    fallback: '127.0.0.1',
    about: 'The address to listen on; 0.0.0.0 inside a container.',
  },
  trustedProxies: {
    env: 'TENON_TRUSTED_PROXIES',
    read: networks,
    takes: 'networks separated by commas, such as 10.0.0.0/8',
    fallback: null,
    about:
      'Balancers and gateways whose X-Forwarded-For is believed; without it a request comes from whoever opened its connection.',
  },
  publicUrl: {
    env: 'PUBLIC_URL',
    read: url,
    takes: 'a URL',
    fallback: null,
    about: 'How the outside reaches this platform; by default host and port.',
  },
  home: {
    env: 'TENON_HOME',
    read: path,
    takes: 'a folder',
    fallback: resolve('.tenon'),
    about: 'Where embedded mode keeps its data, keys and mail.',
  },
  deployment: {
    env: 'TENON_DEPLOYMENT',
    read: word,
    takes: 'a host-like name',
    fallback: 'tenon.local',
    about: 'The name of this deployment; the origin of every checkpoint starts with it.',
  },
  databaseUrl: {
    env: 'DATABASE_URL',
    read: postgresUrl,
    takes: 'a postgres:// URL',
    fallback: null,
    about: 'The directory database.',
  },
  cells: {
    env: 'CELLS',
    read: cells,
    takes: 'JSON, or the path of a JSON file: [{name, region, database, auditDatabase, archive, mail?}]',
    fallback: null,
    about: 'The cells this process serves.',
  },
  ...STORE_SETTINGS,
  redisUrl: {
    env: 'REDIS_URL',
    read: redisUrl,
    takes: 'a redis:// URL',
    fallback: null,
    about: 'Redis or Valkey, shared by several gateways; without it budgets are kept in memory.',
  },
  archiveUrl: {
    env: 'ARCHIVE_URL',
    read: archiveUrl,
    takes: 'file:///folder or s3://bucket?endpoint=...&region=...',
    fallback: null,
    about: 'The archive of cells that name none; by default a folder in TENON_HOME.',
  },
  awsAccessKeyId: {
    env: 'AWS_ACCESS_KEY_ID',
    read: credential,
    takes: 'an access key id',
    fallback: null,
    about: 'Who writes to archives in S3.',
    secret: true,
  },
  awsSecretAccessKey: {
    env: 'AWS_SECRET_ACCESS_KEY',
    read: credential,
    takes: 'a secret access key',
    fallback: null,
    about: 'The secret of that access key.',
    secret: true,
  },
  signingKeyFile: {
    env: 'TENON_SIGNING_KEY_FILE',
    read: path,
    takes: 'a file',
    fallback: null,
    about: 'Ed25519 key (PKCS 8 PEM) of checkpoints and evidence; by default one in TENON_HOME.',
  },
  contextKeyFile: {
    env: 'TENON_CONTEXT_KEY_FILE',
    read: path,
    takes: 'a file',
    fallback: null,
    about: 'Keys of the tenant context (JSON); by default one in TENON_HOME.',
  },
  dataKeyFile: {
    env: 'TENON_DATA_KEY_FILE',
    read: path,
    takes: 'a file',
    fallback: null,
    about:
      'Keys that wrap the keys of personal data (JSON); by default one in TENON_HOME. Without it nothing personal in the audit log can be read: keep a copy apart from the databases.',
  },
  tsaUrl: {
    env: 'TENON_TSA_URL',
    read: url,
    takes: 'a URL',
    fallback: null,
    about: 'The time stamp authority (RFC 3161) that stamps the platform log; without it none does.',
  },
  tsaCertificates: {
    env: 'TENON_TSA_CERTIFICATES',
    read: path,
    takes: 'a file',
    fallback: null,
    about: 'Certificates (PEM) of the authority, or of who certifies it; without them whoever answers is taken for it.',
  },
  tsaIntervalMs: {
    env: 'TENON_TSA_INTERVAL_MS',
    read: wholeNumber(1_000, 86_400_000),
    takes: 'milliseconds',
    fallback: 3_600_000,
    about: 'Time between two stamps of the platform log.',
  },
  witnesses: {
    env: 'TENON_WITNESSES',
    read: witnesses,
    takes: 'verifier key and URL of each witness, parted by a space, separated by commas',
    fallback: [] as readonly WitnessSettings[],
    about:
      'Witnesses (C2SP tlog-witness) that cosign the platform log, such as `w.example+1a2b3c4d+BPx... https://w.example`.',
  },
  retentionDays: {
    env: 'TENON_RETENTION_DAYS',
    read: wholeNumber(1, 36_500),
    takes: 'days',
    fallback: 90,
    about: 'How far ahead the archive keeps the audit log of a tenant who has decided nothing else (docs/archive.md).',
  },
  retentionMinDays: {
    env: 'TENON_RETENTION_MIN_DAYS',
    read: wholeNumber(1, 36_500),
    takes: 'days',
    fallback: 30,
    about: 'The least that a tenant may choose.',
  },
  retentionMaxDays: {
    env: 'TENON_RETENTION_MAX_DAYS',
    read: wholeNumber(1, 36_500),
    takes: 'days',
    fallback: 3_650,
    about: 'The most that a tenant may choose: no longer than that an ended tenant is stored.',
  },
  backupDays: {
    env: 'TENON_BACKUP_DAYS',
    read: wholeNumber(1, 36_500),
    takes: 'days',
    fallback: null,
    about:
      'How long backups of the databases are kept; certificates of erasure name the day on which the last one from before is gone.',
  },
  subgraphs: {
    env: 'SUBGRAPHS',
    read: subgraphs,
    takes: 'local, or name=url pairs separated by commas',
    fallback: 'local' as const,
    about: 'Where the subgraphs run: in the gateway, or each at a URL.',
  },
  otlpEndpoint: {
    env: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    read: url,
    takes: 'a URL',
    fallback: null,
    about: 'Where traces go (OTLP over HTTP); without it none are made.',
  },
  sealIntervalMs: {
    env: 'TENON_SEAL_INTERVAL_MS',
    read: wholeNumber(100, 3_600_000),
    takes: 'milliseconds',
    fallback: 5_000,
    about: 'How long an audit event waits at most before its segment is sealed.',
  },
  sequencerShards: {
    env: 'TENON_SEQUENCER_SHARDS',
    read: wholeNumber(1, 64),
    takes: 'a number of shards, the same for all workers',
    fallback: 4,
    about:
      'Parts of the tenants of a cell whose audit events are moved into their logs side by side, by one or several workers.',
  },
  workerPart: {
    env: 'TENON_WORKER_PART',
    read: oneOf('all', 'sequencing', 'rest'),
    takes: 'all, sequencing or rest',
    fallback: 'all' as const,
    about: 'What a worker process does: everything, only the moving of audit events into their logs, or all but that.',
  },
  workerPort: {
    env: 'TENON_WORKER_PORT',
    read: wholeNumber(0, 65_535),
    takes: 'a port number',
    fallback: null,
    about: 'The port of HOST where the compliance worker serves /metrics and /healthz; without it nowhere.',
  },
  maxBodyBytes: {
    env: 'TENON_MAX_BODY_BYTES',
    read: wholeNumber(1024, 64 * 1024 * 1024),
    takes: 'bytes',
    fallback: 1024 * 1024,
    about: 'The largest body of a request to a REST door; that of /graphql is the limit bodyBytes of LIMITS.',
  },
  coalesce: {
    env: 'TENON_COALESCE_QUERIES',
    read: oneOf('on', 'off'),
    takes: 'on or off',
    fallback: 'off' as const,
    about: 'Whether equal queries of one caller that are under way at once are sent to a subgraph once.',
  },
  supergraphFile: {
    env: 'TENON_SUPERGRAPH_FILE',
    read: path,
    takes: 'a file',
    fallback: null,
    about: 'The supergraph to serve, loaded again when the file changes; by default the one of this version.',
  },
  limits: {
    env: 'LIMITS',
    read: parseLimits,
    takes: `pairs like depth=20,aliases=measure (a number, measure or enforce); limits: ${Object.keys(LIMITS).join(' ')}`,
    fallback: null,
    about: 'Limits of a request that differ from the defaults (docs/cost.md); measure lets through and reports.',
  },
  drainMs: {
    env: 'TENON_DRAIN_MS',
    read: wholeNumber(0, 120_000),
    takes: 'milliseconds',
    fallback: null,
    about:
      'How long a gateway that is told to end still takes requests while /readyz says 503; by default 0 embedded, 5000 in production.',
  },
  requestTimeoutMs: {
    env: 'TENON_REQUEST_TIMEOUT_MS',
    read: wholeNumber(100, 600_000),
    takes: 'milliseconds',
    fallback: 30_000,
    about: 'How long a request may take.',
  },
  sessionHours: {
    env: 'TENON_SESSION_HOURS',
    read: wholeNumber(1, 720),
    takes: 'hours',
    fallback: 12,
    about: 'How long a session lasts.',
  },
  redirectUris: {
    env: 'TENON_REDIRECT_URIS',
    read: redirectUris,
    takes: 'URIs separated by commas, such as https://app.example.com/signed-in',
    fallback: [] as readonly string[],
    about:
      'Where apps may have people sent after a sign-in, each to the letter; https, http on this machine, or a scheme of an app.',
  },
  passkeyRpId: {
    env: 'TENON_PASSKEY_RP_ID',
    read: word,
    takes: 'a domain name',
    fallback: null,
    about:
      'The domain that passkeys belong to (WebAuthn RP ID), such as example.com for app.example.com; by default the host of PUBLIC_URL.',
  },
  passkeyOrigins: {
    env: 'TENON_PASSKEY_ORIGINS',
    read: origins,
    takes: 'origins separated by commas, such as https://app.example.com',
    fallback: null,
    about: 'Where else than at PUBLIC_URL passkeys are made and used; each lies in the domain that they belong to.',
  },
  signUp: {
    env: 'TENON_SIGN_UP',
    read: oneOf('open', 'closed'),
    takes: 'open or closed',
    fallback: 'closed',
    about: 'Whether somebody without a credential may make a free tenant of her own, once she has proven her address.',
  },
  mailUrl: {
    env: 'MAIL_URL',
    read: url,
    takes: 'an smtp:// URL',
    fallback: null,
    about: 'The mail server of cells that name none; without it mail is written to a folder in TENON_HOME.',
  },
  outgoingPrivate: {
    env: 'TENON_OUTGOING_PRIVATE',
    read: oneOf('allow', 'allow-http', 'refuse'),
    takes: 'allow, allow-http or refuse',
    fallback: null,
    about:
      'Whether addresses that tenants name, such as an identity provider, may lie in private networks, and with allow-http be spoken to without TLS; by default embedded only allows both.',
  },
} as const satisfies Record<string, Setting<unknown>>;

/** All settings, read and checked. */
export type Config = {
  readonly [Name in keyof typeof SETTINGS]:
    | ReturnType<(typeof SETTINGS)[Name]['read']>
    | (typeof SETTINGS)[Name]['fallback'];
};

/** A setting whose value cannot be used: the message is one line that says which, what it read and what it takes. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Returns all settings from the environment; throws ConfigError at the first value that cannot be used. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const entries = Object.entries(SETTINGS).map(([name, row]) => [name, readSetting(row as Setting<unknown>, env)]);
  const config = Object.fromEntries(entries) as Config;
  if (config.profile === 'production') requireProductionSettings(config);
  else if (config.databaseUrl !== null || config.cells !== null) {
    throw new ConfigError(
      'DATABASE_URL and CELLS are read with TENON_PROFILE=production only; embedded brings its own database',
    );
  }
  return config;
}

/** Returns the environment of a child process: this one's, with the settings given instead of its own. */
export function environmentWith(settings: Readonly<Record<string, string>>): Record<string, string | undefined> {
  return { ...process.env, ...settings };
}

function readSetting(row: Setting<unknown>, env: Readonly<Record<string, string | undefined>>): unknown {
  const value = env[row.env];
  if (value === undefined || value === '') return row.fallback;
  try {
    return row.read(value);
  } catch {
    const shown = row.secret === true ? 'not usable' : JSON.stringify(withoutPassword(value));
    throw new ConfigError(`${row.env} is ${shown}, but takes ${row.takes}`);
  }
}

function requireProductionSettings(config: Config): void {
  for (const name of ['databaseUrl', 'cells', 'signingKeyFile', 'contextKeyFile', 'dataKeyFile'] as const) {
    if (config[name] === null)
      throw new ConfigError(
        `${SETTINGS[name].env} is not set, but TENON_PROFILE=production needs it: ${SETTINGS[name].takes}`,
      );
  }
}
