import { asTenonError, fail } from '#schema/errors.ts';
import { canonicalBytes } from '#schema/canonical-json.ts';
import type { PackManifest } from '../verify/pack-manifest.ts';
import { exportPersonalData, findSubject } from './access-export.ts';
import { accessReport } from './access-report.ts';
import type { PackScope } from './pack-scope.ts';
import { processingOf } from './processing.ts';

/**
 * Writes data, processing information and report of an access export (GDPR Article 15) and returns what had to be left
 * out. The log itself stays outside: it speaks of other people too. The subject must be a person of the tenant, else
 * NOT_FOUND.
 */
export async function writeAccessPack(scope: PackScope): Promise<PackManifest['omissions']> {
  const { builder, request, ctx, files } = scope;
  const subjectId =
    request.subjectId ?? fail('BAD_USER_INPUT', 'an access export without a subject', { hint: 'A subject is needed.' });
  const subject = await findSubject(ctx, subjectId);
  const omissions: { what: string; why: string }[] = [];
  const stores = await exportPersonalData({
    ctx,
    subject,
    sources: builder.personalData,
    supergraphSdl: builder.supergraph.sdl,
    files,
    onFailure: ({ subgraph }, thrown) => {
      const error = asTenonError(thrown);
      builder.log('error', `personal data of ${subgraph} could not be read: ${error.message}`, {
        tenant: request.tenant,
      });
      omissions.push({ what: `data held by ${subgraph}`, why: error.publicMessage });
    },
  });
  const processing = await processingOf(ctx, subjectId, builder.supergraph.sdl);
  await files.put('processing.json', canonicalBytes(processing));
  await files.put('report.html', accessReport(scope.packHead(omissions), { subject, stores, processing }));
  return omissions;
}
