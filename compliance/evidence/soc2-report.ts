import { cellText } from './table.ts';
import type { Control } from './control-files.ts';
import { CRITERIA } from './criteria.ts';
import { html, page, type Html } from './html.ts';
import type { Population } from './population.ts';
import { packFacts, packHeader, omissionsPart, type PackHead } from './report-parts.ts';

/** Exceptions shown per control; all of them lie in its exceptions.csv. */
const SHOWN_EXCEPTIONS = 25;

/** Returns the page that a person opens first: what was tested, what was found, and where to look. */
export function soc2Report(
  head: PackHead,
  { controls, populations }: { controls: readonly Control[]; populations: readonly Population[] },
): string {
  const title = `Evidence for SOC 2: ${head.tenant.slug}`;
  const exceptions = controls.reduce((sum, control) => sum + control.exceptions.length, 0);
  const cards = [
    ['criteria with evidence', controls.filter(({ result }) => result !== 'not_tested').length],
    ['criteria with exceptions', controls.filter(({ result }) => result === 'exception').length],
    ['exceptions in all', exceptions],
    ['populations', populations.length],
    ['entries in the signed log', head.head?.size ?? 0],
  ] as const;
  const body = html`${packHeader(head, title)}
    <div class="cards">
      ${cards.map(([name, value]) => html`<div class="card"><b>${value}</b><span class="soft">${name}</span></div>`)}
    </div>
    <p>
      This page tells what was tested and what was found, exceptions included. It draws no conclusion about a criterion:
      that is the auditor's, who can repeat every step from the files of this pack.
    </p>
    ${omissionsPart(head.omissions)}
    <h2>At a glance</h2>
    ${glanceTable(controls)}
    <h2>Tests</h2>
    ${controls.map(controlPart)}
    <h2>Populations</h2>
    <p class="soft">
      Each lies in <code>populations/</code> as CSV and as JSON lines, with the query that gave it and a statement on
      its completeness. Rows are numbered, so a sample can be named by its rows.
    </p>
    ${populationTable(populations)} ${packFacts(head)}`;
  return page({ title, body });
}

function glanceTable(controls: readonly Control[]): Html {
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th>Criterion</th>
          <th>Claim</th>
          <th>Collector</th>
          <th>Result of the test</th>
          <th>Exceptions</th>
        </tr>
      </thead>
      <tbody>
        ${controls.map(glanceRow)}
      </tbody>
    </table>
  </div>`;
}

function glanceRow({ criterion, collector, result, exceptions }: Control): Html {
  return html`<tr>
    <td><a href="#${criterion}">${criterion}</a></td>
    <td>${CRITERIA[criterion]}</td>
    <td>${collector.id} ${collector.title}</td>
    <td>${badge(result)}</td>
    <td class="n">${exceptions.length}</td>
  </tr> `;
}

function controlPart(control: Control): Html {
  const { criterion, exceptions, facts } = control;
  return html`<section class="control" id="${criterion}">
    <div class="row">
      <h3>${criterion} <span class="soft">· ${control.collector.title}</span></h3>
      ${badge(control.result)}
    </div>
    <p>${CRITERIA[criterion]}</p>
    <p class="soft"><b>Tested:</b> ${control.test}</p>
    ${control.untested === null ? null : html`<p><b>Not tested:</b> ${control.untested}</p>`}
    ${control.populations.length === 0 ? null : html`<p class="soft"><b>Populations:</b> ${control.populations.map((name, index) => html`${index === 0 ? '' : ', '}<a href="populations/${name}.csv">${name}</a>`)}</p>`}
    <dl>
      ${Object.entries(facts).map(
        ([name, value]) =>
          html`<dt>${name.replaceAll('_', ' ')}</dt>
            <dd class="mono">${cellText(value)}</dd>`,
      )}
    </dl>
    ${exceptions.length === 0 ? html`<p class="soft">No exception was found.</p>` : exceptionTable(control)}
  </section> `;
}

function exceptionTable({ criterion, exceptions }: Control): Html {
  const more = exceptions.length - SHOWN_EXCEPTIONS;
  return html`<div class="scroll">
      <table>
        <thead>
          <tr>
            <th>Exception</th>
            <th>Where</th>
            <th>Entry</th>
          </tr>
        </thead>
        <tbody>
          ${exceptions.slice(0, SHOWN_EXCEPTIONS).map(
            ({ object, sentence, seq }) =>
              html`<tr>
                <td>${sentence}</td>
                <td class="mono">${object}</td>
                <td class="n">${seq}</td>
              </tr> `,
          )}
        </tbody>
      </table>
    </div>
    ${more > 0 ? html`<p class="soft">${more} more in <a href="controls/${criterion}/exceptions.csv">exceptions.csv</a>.</p>` : null}`;
}

function populationTable(populations: readonly Population[]): Html {
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th>Population</th>
          <th>What it holds</th>
          <th>From</th>
          <th>Rows</th>
          <th>Integrity</th>
          <th>Completeness</th>
        </tr>
      </thead>
      <tbody>
        ${populations.map(populationRow)}
      </tbody>
    </table>
  </div>`;
}

function populationRow({ name, title, source, count, integrity, completeness }: Population): Html {
  return html`<tr>
    <td><a href="populations/${name}.csv">${name}</a></td>
    <td>${title}</td>
    <td>${source}</td>
    <td class="n">${count}</td>
    <td>${badge(integrity)}</td>
    <td>${badge(completeness)}</td>
  </tr> `;
}

function badge(result: string): Html {
  return html`<span class="badge ${result.split(' ')[0] ?? ''}">${result.replaceAll('_', ' ')}</span>`;
}
