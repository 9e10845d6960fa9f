import type { RouteRequest, RouteResponse } from '#kit/route.ts';

/** No script and no style is needed, a form posts to us alone, and the secret in an address goes nowhere else. */
const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
} as const;

/**
 * Returns a page of the sign-in; the caller has escaped what is not its own text (`escapeHtml`). Browsers follow a form's
 * redirect to the addresses alone that the page names: `continuesAt` holds those of apps, which the settings allow.
 */
export function page(status: number, body: string, continuesAt: readonly string[] = []): RouteResponse {
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title></head><body>${body}</body></html>\n`;
  const targets = continuesAt.map((address) => {
    const { origin, protocol } = new URL(address);
    return ` ${origin === 'null' ? protocol : origin}`;
  });
  const policy = PAGE_HEADERS['content-security-policy'].replace(
    "form-action 'self'",
    `form-action 'self'${targets.join('')}`,
  );
  return { status, headers: { ...PAGE_HEADERS, 'content-security-policy': policy }, body: html };
}

/** Returns an answer for a program; nothing on its way stores it. */
export function json(status: number, body: object): RouteResponse {
  return {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: JSON.stringify(body),
  };
}

/** Tells whether a person with a browser asks. */
export function wantsPage({ headers }: RouteRequest): boolean {
  return String(headers['accept'] ?? '').includes('text/html');
}

/** Returns a text that means itself in HTML, in elements and in quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}
