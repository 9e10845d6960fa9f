import type { PackManifest } from '../verify/pack-manifest.ts';
import { html, type Html } from './html.ts';

/** What every report says of its pack. */
export interface PackHead extends Omit<PackManifest, 'files'> {
  /** The key that signs the pack, as verifiers take it. */
  readonly verifierKey: string;
}

/** Returns the head of a report: what the pack is about, and whether anything was left out of it. */
export function packHeader({ tenant, window, deployment, omissions }: PackHead, title: string): Html {
  const isWhole = omissions.length === 0;
  return html`<header>
    <div class="row">
      <span class="kicker">Evidence pack · ${deployment}</span>
      <span class="badge ${isWhole ? 'complete' : 'partial'}">${isWhole ? 'NOTHING LEFT OUT' : 'PARTIAL'}</span>
    </div>
    <h1>${title}</h1>
    <p class="soft">
      ${window.from} up to, and without, ${window.to} (UTC) · region ${tenant.region} · tenant <code>${tenant.id}</code>
    </p>
  </header>`;
}

/** Returns what was left out and why; nothing where nothing was. */
export function omissionsPart(omissions: PackHead['omissions']): Html {
  if (omissions.length === 0) return html``;
  return html`<h2>Left out of this pack</h2>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>What</th>
            <th>Why</th>
          </tr>
        </thead>
        <tbody>
          ${omissions.map(
            ({ what, why }) =>
              html`<tr>
                <td>${what}</td>
                <td>${why}</td>
              </tr> `,
          )}
        </tbody>
      </table>
    </div>`;
}

/** Returns where the pack comes from and how anybody can check it. */
export function packFacts({ generator, head, verifierKey }: PackHead): Html {
  return html`<h2>How to check this pack</h2>
    <p>
      Integrity (nothing was changed) and completeness (nothing is missing) are two answers.
      <code>verify/HOWTO.md</code> tells how to get both without this platform.
    </p>
    <dl>
      <dt>signed head</dt>
      <dd class="mono">
        ${head === null ? 'none: nothing of the log was sealed' : `${head.origin}, ${head.size} entries, root ${head.root}`}
      </dd>
      <dt>verifier key</dt>
      <dd class="mono">${verifierKey}</dd>
      <dt>built by</dt>
      <dd class="mono">${generator.name} ${generator.version}, source ${generator.source_sha256}</dd>
    </dl>
    <footer>
      Same window, same head and same data give the same bytes: ask for the pack again and compare. No time of building
      is written into it.
    </footer>`;
}
