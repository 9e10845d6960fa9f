import { refuse } from './refusal.ts';

/** What a document may hold at most; all of it is counted before anything is parsed. */
export interface XmlLimits {
  readonly sizeBytes: number;
  readonly depth: number;
  readonly elements: number;
  readonly attributes: number;
  readonly attributesOfOne: number;
  readonly namespaces: number;
}

/** Far more than any identity provider sends to a person who signs in. */
export const MESSAGE_LIMITS: XmlLimits = {
  sizeBytes: 256 * 1024,
  depth: 32,
  elements: 1_500,
  attributes: 2_500,
  attributesOfOne: 32,
  namespaces: 1_200,
};

/** Metadata carries certificates and contacts, in several languages. */
export const METADATA_LIMITS: XmlLimits = {
  ...MESSAGE_LIMITS,
  sizeBytes: 1024 * 1024,
  elements: 5_000,
  attributes: 10_000,
};

const DECLARATION =
  /^<\?xml version=(?:"1\.0"|'1\.0')(?: encoding=(?:"utf-8"|'utf-8'))?(?: standalone=(?:"(?:yes|no)"|'(?:yes|no)'))? ?\?>/i;
const NAME = /[A-Za-z_][\w.-]{0,127}(?::[A-Za-z_][\w.-]{0,127})?/y;
const SPACE = /[ \t\r\n]*/y;
const END_OF_TAG = /[ \t\r\n]*(\/?)>/y;
const ATTRIBUTE = /[ \t\r\n]*=[ \t\r\n]*(?:"([^"<]*)"|'([^'<]*)')/y;
/** Characters that XML 1.0 does not have, and those that stand for one that could not be read. */
// oxlint-disable-next-line no-control-regex
const STRANGE = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffd-\uffff\p{Surrogate}]/u;
const REFERENCE = /&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#x([0-9A-Fa-f]{1,6}));|&/g;

interface Scan {
  readonly text: string;
  readonly limits: XmlLimits;
  readonly open: string[];
  at: number;
  elements: number;
  attributes: number;
  namespaces: number;
}

/**
 * Refuses (`document`) whatever is not plain well-formed XML within the limits: no document type, comment, processing
 * instruction or CDATA section, no entity but the five, names of ASCII, one root. Linear in the size of the text.
 */
export function scanXml(text: string, limits: XmlLimits): void {
  if (text.length > limits.sizeBytes || Buffer.byteLength(text) > limits.sizeBytes) refuse('document', 'too large');
  if (STRANGE.test(text)) refuse('document', 'a character that has no place here');
  const start = DECLARATION.exec(text)?.[0].length ?? 0;
  const scan: Scan = { text, limits, open: [], at: start, elements: 0, attributes: 0, namespaces: 0 };
  while (scan.at < text.length) {
    const tag = text.indexOf('<', scan.at);
    const end = tag === -1 ? text.length : tag;
    checkText(scan, end);
    scan.at = end;
    if (tag !== -1) readTag(scan);
  }
  if (scan.open.length > 0 || scan.elements === 0) refuse('document', 'an element is not closed');
}

function checkText({ text, at, open }: Scan, end: number): void {
  const between = text.slice(at, end);
  if (open.length === 0 && between.trim() !== '') refuse('document', 'text outside the root');
  checkReferences(between);
  if (between.includes(']]>')) refuse('document', 'the end of a CDATA section');
}

function checkReferences(text: string): void {
  for (const [, name, decimal, hexadecimal] of text.matchAll(REFERENCE)) {
    if (name !== undefined) continue;
    const code = decimal === undefined ? Number.parseInt(hexadecimal ?? '', 16) : Number(decimal);
    if (!(code <= 0x10ffff) || STRANGE.test(String.fromCodePoint(code)))
      refuse('document', 'an entity or a strange character');
  }
}

function readTag(scan: Scan): void {
  const next = scan.text[scan.at + 1];
  if (next === '!' || next === '?') refuse('document', 'a document type, comment, CDATA section or instruction');
  if (next === '/') return closeElement(scan);
  openElement(scan);
}

function closeElement(scan: Scan): void {
  scan.at += 2;
  const name = take(scan, NAME)?.[0];
  if (name === undefined || name !== scan.open.pop()) refuse('document', 'an element closes another one');
  if (take(scan, END_OF_TAG)?.[1] !== '') refuse('document', 'an end tag is not closed');
}

function openElement(scan: Scan): void {
  scan.at += 1;
  const name = take(scan, NAME)?.[0];
  if (name === undefined) return refuse('document', 'an element has no name');
  if (scan.open.length === 0 && scan.elements > 0) refuse('document', 'several roots');
  scan.elements += 1;
  if (scan.elements > scan.limits.elements) refuse('document', 'too many elements');
  readAttributes(scan);
  const end = take(scan, END_OF_TAG);
  if (end === null) return refuse('document', 'a start tag is not closed');
  if (scan.open.length >= scan.limits.depth) refuse('document', 'too deep');
  if (end[1] === '') scan.open.push(name);
}

function readAttributes(scan: Scan): void {
  const names = new Set<string>();
  for (let spaces = take(scan, SPACE)?.[0]; spaces !== undefined; spaces = take(scan, SPACE)?.[0]) {
    const name = take(scan, NAME)?.[0];
    if (name === undefined) return;
    if (spaces === '') refuse('document', 'an attribute follows without a space');
    const value = take(scan, ATTRIBUTE);
    if (value === null) return refuse('document', 'an attribute has no value');
    countAttribute(scan, names, name);
    checkAttribute(scan, name, value[1] ?? value[2] ?? '');
  }
}

function countAttribute(scan: Scan, names: Set<string>, name: string): void {
  if (names.has(name)) refuse('document', 'an attribute stands twice');
  names.add(name);
  scan.attributes += 1;
  if (names.size > scan.limits.attributesOfOne || scan.attributes > scan.limits.attributes)
    refuse('document', 'too many attributes');
}

function checkAttribute(scan: Scan, name: string, value: string): void {
  checkReferences(value);
  if (name !== 'xmlns' && !name.startsWith('xmlns:')) return;
  scan.namespaces += 1;
  if (scan.namespaces > scan.limits.namespaces) refuse('document', 'too many namespaces');
  // A namespace without a scheme is canonicalized differently, or not at all, by different programs.
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:[^\s&]+$/.test(value)) refuse('document', 'a namespace that is no absolute URI');
}

function take(scan: Scan, pattern: RegExp): RegExpExecArray | null {
  pattern.lastIndex = scan.at;
  const found = pattern.exec(scan.text);
  if (found !== null) scan.at = pattern.lastIndex;
  return found;
}
