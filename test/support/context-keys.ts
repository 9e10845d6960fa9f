import { parseContextKeys, type ContextKeys } from '#schema/tenant-context.ts';

/** The file of `CONTEXT_KEYS`. */
export const CONTEXT_KEY_FILE = JSON.stringify({
  signing: 'k2',
  keys: [
    { kid: 'k2', secret: '22'.repeat(32) },
    { kid: 'k1', secret: '11'.repeat(32) },
  ],
});
/** Keys of the tenant context in tests; every template database knows them. */
export const CONTEXT_KEYS: ContextKeys = parseContextKeys(CONTEXT_KEY_FILE);
