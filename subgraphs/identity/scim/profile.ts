import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { exchangeOf, type Exchange } from './exchange.ts';
import type { Profile } from './patch-steps.ts';
import { PROFILES } from './profiles.ts';
import { DEVIATIONS, type Rewrite, type Rewriting } from './rewrites.ts';

/** Returns how the PATCH engine understands the client of a request: Entra's means something by a replacement in vain. */
export function profileOf(ctx: RequestContext): Profile {
  return PROFILES[exchangeOf(ctx).profile].engine;
}

/** Returns what the normalisers of a request ask: its profile decides, and its exchange remembers. */
export function rewritingOf(ctx: RequestContext): Rewriting {
  const exchange = exchangeOf(ctx);
  const allowed = PROFILES[exchange.profile].rewrites;
  return {
    allows: (rewrite) => allowed.has(rewrite),
    note: (rewrite) => {
      if (!allowed.has(rewrite)) refuse(exchange, rewrite);
      exchange.rewrites.add(rewrite);
    },
  };
}

function refuse(exchange: Exchange, rewrite: Rewrite): never {
  exchange.refusedForm = rewrite;
  const { form, code } = DEVIATIONS[rewrite];
  return fail(code, `the profile ${exchange.profile} has no ${rewrite}`, {
    hint: `The profile "${exchange.profile}" of this connection does not take ${form}.`,
  });
}
