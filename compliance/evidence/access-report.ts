import type { DataSubject } from '#kit/personal-data.ts';
import type { ExportedStore } from './access-export.ts';
import { html, page, type Html } from './html.ts';
import type { Processing } from './processing.ts';
import { omissionsPart, packFacts, packHeader, type PackHead } from './report-parts.ts';
import { cellText } from './table.ts';

/** Rows shown per store; all of them lie in its files. */
const SHOWN_ROWS = 100;

/** Returns the page that the person reads: what is held of her, what for, and for how long. */
export function accessReport(
  head: PackHead,
  { subject, stores, processing }: { subject: DataSubject; stores: readonly ExportedStore[]; processing: Processing },
): string {
  const title = `Your data at ${head.tenant.slug}`;
  const rows = stores.reduce((sum, store) => sum + store.rows.length, 0);
  const body = html`${packHeader(head, title)}
    <p>
      This is what the platform holds of
      <code>${subject.userId}</code>${subject.email === null ? null : html` (${subject.email})`}, as Article 15 of the
      GDPR asks: ${rows} rows in ${stores.length} stores, as they stand in the data folder of this pack, each as JSON
      and as CSV.
    </p>
    ${omissionsPart(head.omissions)}
    <h2>What for, and for how long</h2>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>Field</th>
            <th>Category</th>
            <th>Purpose</th>
            <th>Kept</th>
          </tr>
        </thead>
        <tbody>
          ${processing.fields.map(
            ({ subgraph, type, field, category, purpose, retention }) =>
              html`<tr>
                <td class="mono">${subgraph}: ${type}.${field}</td>
                <td>${category}</td>
                <td>${purpose}</td>
                <td>${retention}</td>
              </tr> `,
          )}
        </tbody>
      </table>
    </div>
    <dl>
      <dt>region of all stores</dt>
      <dd>${processing.region}</dd>
      <dt>where the data come from</dt>
      <dd>
        ${processing.sources.map((source, index) => html`${index === 0 ? '' : '; '}${source.description} (${source.entries})`)}
      </dd>
      <dt>automated decisions</dt>
      <dd>${processing.automated_decisions}</dd>
    </dl>
    <p class="soft">
      The organisation whose account this is decides on these data and adds what only it knows:
      ${processing.added_by_the_controller.join('; ')}.
    </p>
    <h2>The data</h2>
    ${stores.map(storePart)} ${packFacts(head)}`;
  return page({ title, body });
}

function storePart({ store, rows, columns, classes }: ExportedStore): Html {
  const more = rows.length - SHOWN_ROWS;
  return html`<section class="store">
    <div class="row">
      <h3>${store}</h3>
      <span class="soft">${rows.length} rows</span>
    </div>
    ${Object.entries(classes).map(([field, { category, purpose }]) => html`<p class="soft">${field}: ${category}, for ${purpose}</p>`)}
    ${
      rows.length === 0
        ? html`<p class="soft">Nothing is held here.</p>`
        : html`<div class="scroll">
            <table>
              <thead>
                <tr>
                  ${columns.map((column) => html`<th>${column}</th>`)}
                </tr>
              </thead>
              <tbody>
                ${rows.slice(0, SHOWN_ROWS).map(
                  (row) =>
                    html`<tr>
                      ${columns.map((column) => html`<td>${cellText(Object.hasOwn(row, column) ? row[column] : null)}</td>`)}
                    </tr> `,
                )}
              </tbody>
            </table>
          </div>`
    }
    ${more > 0 ? html`<p class="soft">${more} more in <a href="data/${store}.csv">data/${store}.csv</a>.</p>` : null}
  </section> `;
}
