import type { Attack } from './saml-attack-kit.ts';
import { CLAIMS, PEOPLE } from './saml-attacks-claim.ts';
import { DOCUMENTS, ENCRYPTED } from './saml-attacks-document.ts';
import { FORGERIES, SIGNATURE_SHAPES } from './saml-attacks-signature.ts';
import { NAMES, WRAPPINGS } from './saml-attacks-structure.ts';

/** Every hostile document. */
export const ATTACKS: readonly Attack[] = [
  ...FORGERIES,
  ...WRAPPINGS,
  ...SIGNATURE_SHAPES,
  ...DOCUMENTS,
  ...NAMES,
  ...CLAIMS,
  ...PEOPLE,
  ...ENCRYPTED,
];
