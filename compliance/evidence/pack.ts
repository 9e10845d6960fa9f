import { createHash, hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { systemContext } from '#kit/credential.ts';
import { findTenant } from '#kit/directory.ts';
import { requestContext } from '#kit/request-context.ts';
import { canonicalBytes } from '#schema/canonical-json.ts';
import { signStatement, STATEMENT_TYPE } from '#schema/dsse.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { mintId } from '#schema/ids.ts';
import { encodeRotations } from '#schema/key-rotation.ts';
import type { PackManifest } from '../verify/pack-manifest.ts';
import { EVIDENCE_PREDICATE_TYPE } from '../verify/pack.ts';
import { writeAccessPack } from './access-pack.ts';
import { generatorOf } from './generator.ts';
import { howTo, singleFile } from './how-to.ts';
import { createPackFiles, type PackFiles } from './pack-files.ts';
import type { EvidenceBuilder, EvidenceRequest, PackScope } from './pack-scope.ts';
import type { PackHead } from './report-parts.ts';
import { findHead } from './sealed-log.ts';
import { writeSoc2Pack } from './soc2-pack.ts';
import { openSpool } from './spool.ts';
import { writeTenantPack } from './tenant-pack.ts';
import { zipOf } from './zip.ts';

/** A pack on its way. */
export interface EvidencePackStream {
  /** The bytes of the zip; building begins when it is read, and a fault ends it with that error. */
  readonly stream: Readable;
  /** Settles when the stream ends; the hash is that of the whole zip. */
  readonly done: Promise<{ readonly sha256: Buffer; readonly sizeBytes: number }>;
}

/**
 * Builds an evidence pack as a zip that `tenon verify` checks without this platform. The same window over the same head
 * and data gives the same bytes. A collector that fails is named in `omissions`, and the report says PARTIAL; an unknown
 * tenant or subject is NOT_FOUND. Files wait in one temporary file, so memory does not grow with the log.
 */
export function buildEvidencePack(options: EvidenceBuilder & EvidenceRequest): EvidencePackStream {
  let settle: { resolve: (built: { sha256: Buffer; sizeBytes: number }) => void; reject: (error: unknown) => void };
  const done = new Promise<{ sha256: Buffer; sizeBytes: number }>((resolve, reject) => (settle = { resolve, reject }));
  // Whoever reads the stream alone is told of the fault there.
  done.catch(() => undefined);
  const bytes = async function* (): AsyncGenerator<Buffer, void, undefined> {
    try {
      const digest = createHash('sha256');
      let sizeBytes = 0;
      for await (const piece of packBytes(options)) {
        digest.update(piece);
        sizeBytes += piece.length;
        yield piece;
      }
      settle.resolve({ sha256: digest.digest(), sizeBytes });
    } catch (error) {
      settle.reject(error);
      throw error;
    } finally {
      // Without effect where it has ended well.
      settle.reject(asTenonError('the pack was not read to its end'));
    }
  };
  return { stream: Readable.from(bytes(), { objectMode: false }), done };
}

/** Returns the name under which a pack is saved. */
export function packFileName({
  slug,
  kind,
  window,
}: { slug: string } & Pick<EvidenceRequest, 'kind' | 'window'>): string {
  return `evidence-${slug}-${kind.replaceAll('_', '-')}-${dayOf(window.from)}_${dayOf(window.to)}.zip`;
}

function dayOf(time: Date): string {
  return time.toISOString().slice(0, 10);
}

async function* packBytes(options: EvidenceBuilder & EvidenceRequest): AsyncGenerator<Buffer, void, undefined> {
  const spool = await openSpool();
  try {
    const files = createPackFiles(spool);
    await writePack(options, files);
    yield* zipOf(files.list().map(({ path }) => ({ path, read: () => files.read(path) })));
  } finally {
    await spool.close();
  }
}

async function writePack(options: EvidenceBuilder & EvidenceRequest, files: PackFiles): Promise<void> {
  const scope = await openScope(options, files);
  const omissions = await WRITERS[options.kind](scope);
  await files.put('verify/KEYS', keysText(options));
  const { rotations = [] } = options;
  if (rotations.length > 0) await files.put('verify/ROTATIONS', encodeRotations(rotations));
  await files.put('verify/HOWTO.md', howTo(options.kind));
  await files.put('verify/tenon-verify.mjs', await singleFile());
  const { verifierKey: _, ...head } = scope.packHead(omissions);
  const manifest: PackManifest = { ...head, files: files.list() };
  const bytes = canonicalBytes(toJson(manifest));
  await files.put('manifest.json', bytes);
  const { kind, window, tenant } = manifest;
  const envelope = signStatement(
    {
      _type: STATEMENT_TYPE,
      subject: [{ name: 'manifest.json', digest: { sha256: hash('sha256', bytes, 'hex') } }],
      predicateType: EVIDENCE_PREDICATE_TYPE,
      predicate: { kind, window: { ...window }, tenant: { ...tenant } },
    },
    options.signingKey,
  );
  await files.put('manifest.dsse.json', JSON.stringify(envelope));
}

/** What is in a pack, by its kind. */
const WRITERS: Readonly<Record<EvidenceRequest['kind'], (scope: PackScope) => Promise<PackManifest['omissions']>>> = {
  soc2: writeSoc2Pack,
  gdpr_access: writeAccessPack,
  tenant_export: writeTenantPack,
};

async function openScope(options: EvidenceBuilder & EvidenceRequest, files: PackFiles): Promise<PackScope> {
  const { platform, tenant, kind, window, signingKey } = options;
  if (!(window.from < window.to))
    fail('BAD_USER_INPUT', 'the window is empty', { hint: 'The window must end behind its beginning.' });
  const place = await findTenant(platform.databases, tenant);
  if (place === null) return fail('NOT_FOUND', 'no such tenant', { hint: 'There is no such tenant.' });
  const context = await systemContext(platform.databases, tenant, { name: 'evidence', requestId: mintId('req') });
  const ctx = requestContext(platform, context);
  const head = await findHead(ctx);
  const generator = options.generator ?? (await generatorOf());
  const packHead = (omissions: PackManifest['omissions']): PackHead => ({
    v: 1,
    kind,
    deployment: signingKey.name,
    tenant: { id: tenant, slug: place.slug, region: place.region },
    window: { from: window.from.toISOString(), to: window.to.toISOString() },
    generator,
    head: head === null ? null : { origin: head.origin, size: head.size, root: head.root, checkpoint: head.checkpoint },
    omissions,
    verifierKey: signingKey.verifierKey,
  });
  return { builder: options, request: options, ctx, place, head, generator, files, packHead };
}

function keysText({ signingKey, olderVerifierKeys = [] }: EvidenceBuilder): string {
  const lines = [signingKey.verifierKey, ...olderVerifierKeys].map((key) => `${key}\n`);
  return `# Verifier keys of ${signingKey.name}. Compare them with those that the deployment shows under /.well-known/tenon/keys.\n${lines.join('')}`;
}

/** The manifest is plain JSON by its type but for the interfaces it is made of. */
function toJson({ generator, head, tenant, window, files, omissions, ...rest }: PackManifest) {
  return {
    ...rest,
    generator: { ...generator },
    head: head === null ? null : { ...head },
    tenant: { ...tenant },
    window: { ...window },
    files: files.map((file) => ({ ...file })),
    omissions: omissions.map((omission) => ({ ...omission })),
  };
}
