/** Returns a text that means itself in XML, in elements and in quoted attributes. */
export function escapeXml(text: string): string {
  return text.replaceAll(/[&<>"'\t\n\r]/g, (character) => `&#${character.codePointAt(0)};`);
}

/** Returns the base 64 inside a certificate given as PEM. */
export function pemBody(pem: string): string {
  return pem.replaceAll(/-----[A-Z ]+-----|\s+/g, '');
}
