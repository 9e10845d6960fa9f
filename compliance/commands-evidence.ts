import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { UsageError, type Command, type CommandArguments, type CommandSurroundings } from '#kit/command.ts';
import { findTenantBySlug, type TenantPlace } from '#kit/directory.ts';
import { readSigningKey } from '#kit/key-files.ts';
import { log } from '#kit/log.ts';
import type { Platform } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { openCellArchive } from './archive/cell-archive.ts';
import { archiveCredentials } from './archive/open.ts';
import { buildEvidencePack, packFileName } from './evidence/pack.ts';
import type { EvidenceBuilder, EvidenceRequest } from './evidence/pack-scope.ts';
import { createProgress } from './progress.ts';

/** What the subgraphs bring to a pack; asked for when one is built. */
export interface EvidenceCommandNeeds {
  readonly personalData: () => Promise<EvidenceBuilder['personalData']>;
  readonly supergraphSdl: () => string;
}

const KINDS = {
  soc2: 'soc2',
  gdpr_access: 'gdpr_access',
  'gdpr-access': 'gdpr_access',
  tenant_export: 'tenant_export',
  'tenant-export': 'tenant_export',
} as const;

/** `evidence build`: the same packs as over the API, written into a folder. */
export function evidenceBuild(needs: EvidenceCommandNeeds): Command {
  return {
    name: 'evidence build',
    about: 'Builds an evidence pack of a tenant, signed, as a zip that verify checks offline.',
    options: {
      tenant: { about: 'Slug of the tenant', required: true },
      kind: { about: 'soc2, gdpr_access or tenant_export', required: true },
      from: { about: 'Beginning of the window, such as 2026-01-01', required: true },
      to: { about: 'End of the window, which is outside', required: true },
      subject: { about: 'The user (usr_...) that a gdpr_access pack is about' },
      out: { about: 'Folder to write it into', required: true },
    },
    run: async (surroundings, { options }) => {
      const { tenant: slug = '', out = '.' } = options;
      return build(surroundings, { slug, out, needs, request: requestOf(options) });
    },
  };
}

/** `tenant export`: all that a tenant has, as she gets it over the API, written into a folder. */
export function tenantExport(needs: EvidenceCommandNeeds): Command {
  return {
    name: 'tenant export',
    about: 'Writes all that a tenant has, with a schema for each table and her log, as a signed zip.',
    positionals: ['<slug>'],
    options: { out: { about: 'Folder to write it into', required: true } },
    run: async (surroundings, { positionals: [slug = ''], options: { out = '.' } }) => {
      const window = { from: new Date(0), to: new Date() };
      return build(surroundings, { slug, out, needs, request: { kind: 'tenant_export', window } });
    },
  };
}

interface BuildOrder {
  readonly slug: string;
  readonly out: string;
  readonly request: Omit<EvidenceRequest, 'tenant'>;
  readonly needs: EvidenceCommandNeeds;
}

async function build(surroundings: CommandSurroundings, { slug, out, request, needs }: BuildOrder): Promise<0> {
  const platform = await surroundings.platform();
  const tenant = await findTenantBySlug(platform.databases, slug);
  if (tenant === null) return fail('NOT_FOUND', `no tenant has the slug ${slug}`);
  const builder = await builderOf(platform, tenant, needs);
  const file = join(out, packFileName({ slug: tenant.slug, ...request }));
  const { sha256, sizeBytes } = await writePack(file, { ...builder, ...request, tenant: tenant.id });
  const hash = sha256.toString('hex');
  if (surroundings.json) surroundings.write(JSON.stringify({ file, sha256: hash, sizeBytes }, null, 2));
  else surroundings.write(`${file}\n${sizeBytes} bytes, sha256 ${hash}`);
  return 0;
}

function requestOf(options: CommandArguments['options']): Omit<EvidenceRequest, 'tenant'> {
  const kind = Object.entries(KINDS).find(([name]) => name === options['kind'])?.[1];
  if (kind === undefined) throw new UsageError('--kind takes soc2, gdpr_access or tenant_export');
  const window = { from: timeOf('from', options), to: timeOf('to', options) };
  const { subject } = options;
  if ((kind === 'gdpr_access') !== (subject !== undefined))
    throw new UsageError('--subject is needed by gdpr_access, and by no other kind');
  return { kind, window, ...(subject === undefined ? {} : { subjectId: subject }) };
}

/** A day, or a time with its zone: another form would mean something else on another machine. */
function timeOf(name: string, options: CommandArguments['options']): Date {
  const text = options[name] ?? '';
  const time = new Date(text);
  if (!/^\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d))?$/.test(text) || Number.isNaN(time.getTime())) {
    throw new UsageError(
      `--${name} takes a day such as 2026-01-01, or a time with its zone such as 2026-01-01T12:00:00Z`,
    );
  }
  return time;
}

async function builderOf(
  platform: Platform,
  { cell }: TenantPlace,
  needs: EvidenceCommandNeeds,
): Promise<EvidenceBuilder> {
  const settings = platform.databases.cells.find(({ name }) => name === cell);
  if (settings === undefined) return fail('SERVICE_UNAVAILABLE', `these settings do not name the cell ${cell}`);
  const archive = await openCellArchive(settings, {
    clock: platform.clock,
    credentials: archiveCredentials(platform.config),
  });
  return {
    platform,
    archiveOf: () => archive,
    signingKey: readSigningKey(platform.config),
    personalData: await needs.personalData(),
    supergraph: { sdl: needs.supergraphSdl() },
    log,
  };
}

/** Under another name until it is whole, so that nobody takes half a pack for one. */
async function writePack(
  file: string,
  options: EvidenceBuilder & EvidenceRequest,
): Promise<{ sha256: Buffer; sizeBytes: number }> {
  await mkdir(join(file, '..'), { recursive: true });
  const staging = `${file}.partial`;
  const { stream, done } = buildEvidencePack(options);
  // Reading logs and tables takes most of the time, and how much of it is there nobody knows before.
  const progress = createProgress('building the pack');
  const timer = setInterval(() => progress.update(null), 250);
  try {
    await pipeline(stream, createWriteStream(staging, { mode: 0o600 }));
    const built = await done;
    await rename(staging, file);
    return built;
  } finally {
    clearInterval(timer);
    progress.end();
    await rm(staging, { force: true });
  }
}
