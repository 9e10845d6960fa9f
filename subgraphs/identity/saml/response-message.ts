import { refuse } from './refusal.ts';
import { MESSAGE_LIMITS } from './xml-scan.ts';

const BASE64 = /^[A-Za-z0-9+/=\s]+$/;
/** Base 64 with a line break at every 64th character. */
const MAX_LENGTH = Math.ceil((MESSAGE_LIMITS.sizeBytes * 4) / 3) + MESSAGE_LIMITS.sizeBytes / 32;

/** Returns the XML of a message that was posted (saml-bindings-2.0 section 3.5.4); what is none is refused (`document`). */
export function decodeMessage(posted: string): string {
  if (posted.length > MAX_LENGTH) return refuse('document', 'too large');
  if (!BASE64.test(posted)) return refuse('document', 'not base 64');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(posted, 'base64'));
  } catch (cause) {
    return refuse('document', 'not UTF-8', cause);
  }
}
