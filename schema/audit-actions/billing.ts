import type { ActionRows } from './action.ts';
import { count, flag, list, text, time } from './field.ts';

/** Usage and invoices. */
export const billingActions: ActionRows = {
  'usage.record': {
    version: 1,
    about: 'A batch of usage events was counted; those that had come before are `duplicates`.',
    resource: ['tenant'],
    resourceName: 'plain',
    context: { accepted: count, duplicates: count, metrics: list(text(100), 100) },
  },
  'invoice.draft': {
    version: 1,
    about: 'An invoice of a period was drafted, or drafted again.',
    resource: ['invoice'],
    resourceName: 'plain',
    context: {
      period_start: time,
      period_end: time,
      plan: text(200),
      total_minor: text(60),
      currency: text(3),
      again: flag,
    },
  },
};
