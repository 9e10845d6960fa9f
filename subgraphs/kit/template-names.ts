/** The words that take the place of the example's words. */
export interface Names {
  /** `contracts`, in place of `product` and `projects`. */
  readonly plural: string;
  readonly singular: string;
  /** Prefixes of public ids: of the thing, of its items, and of an item's shares. */
  readonly idPrefixes: readonly [string, string, string];
}

/** Returns the names of a new subgraph, or null for a word that is no lower-case English plural of 4 to 30 letters. */
export function namesOf(plural: string, takenPrefixes: readonly string[]): Names | null {
  if (!/^[a-z]{3,29}s$/.test(plural)) return null;
  const singular = plural.endsWith('ies') ? `${plural.slice(0, -3)}y` : plural.slice(0, -1);
  return { plural, singular, idPrefixes: freePrefixes(singular, takenPrefixes) };
}

/** Returns a text of the example in the words of the new subgraph; SQL names are snake_case, TypeScript's camelCase. */
export function renamed(text: string, names: Names): string {
  return replacements(names).reduce((result, [from, to]) => result.replaceAll(from, to), text);
}

function replacements({ plural, singular, idPrefixes }: Names): [RegExp, string][] {
  const type = `${singular.charAt(0).toUpperCase()}${singular.slice(1)}`;
  const types = `${plural.charAt(0).toUpperCase()}${plural.slice(1)}`;
  const [thing, item, share] = idPrefixes;
  return [
    [/The example product: projects/g, types],
    [/ and documents; also the template of `npm run new`/g, ' and their items'],
    [/'prj'/g, `'${thing}'`],
    [/'doc'/g, `'${item}'`],
    [/'shr'/g, `'${share}'`],
    [/\bprj\b|\^prj_/g, thing],
    // Prose first: comments and descriptions speak of items.
    [/(?<=(?:^|\n)\s*(?:\/\*\*|\*|\/\/|--)[^\n]*)\bdocument(s?)\b/g, 'item$1'],
    [/(?<=description: '[^'\n]*)\bdocument(s?)\b/g, 'item$1'],
    [/(?<=about: '[^'\n]*)\bdocument(s?)\b/g, 'item$1'],
    [/(?<=about: '[^'\n]*)\bDocument(s?)\b/g, 'Item$1'],
    [/\bdocument_/g, `${singular}_item_`],
    [/(?<=\b(?:from|into|join|update|table|on|index) (?:app\.)?)documents\b/g, `${singular}_items`],
    [/(?<=app\.|Entity\(')documents\b/g, `${singular}_items`],
    [/(?<=\n  )documents(?=: \{)/g, `${singular}_items`],
    [/\bdocuments_by/g, `${singular}_items_by`],
    [/(?<=['"])document(?=['".])/g, `${singular}_item`],
    [/documents\.(?=tenant|roles|test)/g, `${singular}-items.`],
    [/\bPermission\b/g, `${type}Permission`],
    [/Document/g, `${type}Item`],
    [/document/g, `${singular}Item`],
    [/Projects/g, types],
    [/Project/g, type],
    [/projects/g, plural],
    [/project/g, singular],
    [/product/g, plural],
    [/\b(a|A) item\b/g, '$1n item'],
  ];
}

/** Three letters of the word for the thing itself, two of them and a letter for what hangs on it; all of them free. */
function freePrefixes(singular: string, taken: readonly string[]): [string, string, string] {
  const used = new Set(taken);
  const pick = (wanted: string): string => {
    for (const last of [wanted.charAt(2), ...'abcdefghijklmnopqrstuvwxyz'.split('')]) {
      const prefix = wanted.slice(0, 2) + last;
      if (used.has(prefix)) continue;
      used.add(prefix);
      return prefix;
    }
    throw new Error(`no free id prefix begins with ${wanted.slice(0, 2)}`);
  };
  const head = singular.slice(0, 2);
  return [pick(singular.slice(0, 3)), pick(`${head}i`), pick(`${head}s`)];
}
