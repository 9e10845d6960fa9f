import { parseDataKeys } from '#kit/data-keys.ts';

/** Wraps the keys of personal data in tests. */
export const DATA_KEYS = parseDataKeys(
  JSON.stringify({ current: 'd1', keys: [{ kid: 'd1', secret: '33'.repeat(32) }] }),
);
