/** Text that is HTML already; everything else is escaped on its way into `html`. */
export interface Html {
  readonly html: string;
}

type Part = Html | string | number | null | readonly Part[];

/** Returns a piece of a page: literal parts stand as they are, values are escaped unless they are HTML themselves. */
export function html(literals: TemplateStringsArray, ...values: readonly Part[]): Html {
  return { html: literals.map((literal, index) => literal + textOf(values[index] ?? null)).join('') };
}

/** Returns a whole page without script, font or image from elsewhere; its policy lets nothing be loaded. */
export function page({ title, body }: { title: string; body: Html }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body.html}
</main>
</body>
</html>
`;
}

function textOf(part: Part): string {
  if (part === null) return '';
  if (typeof part === 'string') return escaped(part);
  if (typeof part === 'number') return String(part);
  return isHtml(part) ? part.html : part.map(textOf).join('');
}

function isHtml(part: Html | readonly Part[]): part is Html {
  return 'html' in part;
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

const STYLE = `
:root{color-scheme:light dark;--ink:#16202c;--soft:#5b6878;--line:#dde3ea;--paper:#fff;--wash:#f4f6f9;--good:#1b7a4b;--goodwash:#e4f4eb;--bad:#b3261e;--badwash:#fbe9e7;--none:#7a5b00;--nonewash:#fbf2d8;--accent:#2457c5}
@media (prefers-color-scheme:dark){:root{--ink:#e6ebf1;--soft:#9aa7b6;--line:#2c3744;--paper:#11181f;--wash:#18212b;--good:#6fd39f;--goodwash:#15301f;--bad:#ff9d94;--badwash:#3a1815;--none:#e8c765;--nonewash:#332a10;--accent:#8fb1ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--wash);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:72rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
header{border-bottom:3px solid var(--accent);padding-bottom:1.25rem;margin-bottom:1.75rem}
h1{font-size:1.75rem;line-height:1.2;margin:.25rem 0 .5rem;letter-spacing:-.01em}
h2{font-size:1.2rem;margin:2.25rem 0 .75rem}
h3{font-size:1rem;margin:0}
p{margin:.4rem 0}
.kicker{text-transform:uppercase;letter-spacing:.08em;font-size:.75rem;color:var(--soft);font-weight:600}
.soft{color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:1.25rem 0}
.card{background:var(--paper);border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem}
.card b{display:block;font-size:1.5rem;line-height:1.2;font-variant-numeric:tabular-nums}
section.control,section.store{background:var(--paper);border:1px solid var(--line);border-radius:.6rem;padding:1rem 1.25rem;margin:.9rem 0;break-inside:avoid}
.row{display:flex;flex-wrap:wrap;gap:.6rem;align-items:center;justify-content:space-between}
.badge{display:inline-block;border-radius:1rem;padding:.1rem .7rem;font-size:.78rem;font-weight:650;white-space:nowrap}
.pass,.complete{color:var(--good);background:var(--goodwash)}
.exception,.fail,.partial{color:var(--bad);background:var(--badwash)}
.not_tested,.cannot{color:var(--none);background:var(--nonewash)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.86rem;background:var(--paper)}
th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600;white-space:nowrap}
td.n{text-align:right;font-variant-numeric:tabular-nums}
code,.mono{font:.82rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.6rem 0;font-size:.88rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
a{color:var(--accent)}
footer{margin-top:3rem;border-top:1px solid var(--line);padding-top:1rem;color:var(--soft);font-size:.85rem}
@media print{body{background:#fff}main{padding:0}a{color:inherit}}
`;
