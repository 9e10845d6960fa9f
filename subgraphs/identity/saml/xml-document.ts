import { DOMParser } from '@xmldom/xmldom';
import { refuse, type SamlReason } from './refusal.ts';
import { scanXml, type XmlLimits } from './xml-scan.ts';

/** An element of a document that the scan let through. */
export type XmlElement = Element;

const ELEMENT = 1;
const TEXT = 3;

/**
 * Returns the root of a document, parsed by the parser that verifies its signatures too, so that nothing is read in two
 * ways; what the scan or the parser does not take is refused (`document`).
 */
export function parseXml(text: string, limits: XmlLimits): XmlElement {
  scanXml(text, limits);
  const parser = new DOMParser({ errorHandler: { warning: refuseFault, error: refuseFault, fatalError: refuseFault } });
  const root = parser.parseFromString(text, 'text/xml').documentElement;
  return root ?? refuse('document', 'no root');
}

/** Tells whether it is the element of this namespace and name. */
export function isElement(element: XmlElement, namespace: string, name: string): boolean {
  return element.namespaceURI === namespace && element.localName === name;
}

/** Returns the elements right below. */
export function children(parent: XmlElement): XmlElement[] {
  return Array.from(parent.childNodes).filter((node): node is XmlElement => node.nodeType === ELEMENT);
}

/** Returns the elements right below that have this name. */
export function childrenNamed(parent: XmlElement, namespace: string, name: string): XmlElement[] {
  return children(parent).filter((element) => isElement(element, namespace, name));
}

/** Returns the one element of this name right below, or null where there is none; several are refused (`structure`). */
export function childOrNull(parent: XmlElement, namespace: string, name: string): XmlElement | null {
  const found = childrenNamed(parent, namespace, name);
  if (found.length > 1) refuse('structure', `several ${name}`);
  return found[0] ?? null;
}

/** Returns the one element of this name right below; none is refused with the reason. */
export function child(
  parent: XmlElement,
  [namespace, name]: readonly [string, string],
  reason: SamlReason,
): XmlElement {
  return childOrNull(parent, namespace, name) ?? refuse(reason, `no ${name}`);
}

/** Returns the value of an attribute, or null where the element has none of that name. */
export function attribute(element: XmlElement, name: string): string | null {
  return element.hasAttribute(name) ? element.getAttribute(name) : null;
}

/** Returns the text of an element that holds text alone, as it stands; anything else inside is refused (`structure`). */
export function textOf(element: XmlElement): string {
  const nodes = Array.from(element.childNodes);
  if (nodes.some((node) => node.nodeType !== TEXT)) refuse('structure', `${element.localName} holds more than text`);
  return nodes.map((node) => node.nodeValue ?? '').join('');
}

/** Returns every element of a tree, the root first, in the order of the document. */
export function* elementsOf(root: XmlElement): Generator<XmlElement> {
  yield root;
  for (const element of children(root)) yield* elementsOf(element);
}

function refuseFault(message: unknown): never {
  return refuse('document', 'not well-formed', message);
}
