import type { PersonalTable } from '#kit/personal-tables.ts';

const SUMS = 'sums of the tenant';

/** The tables of billing, and what each of them holds of a person. */
export const personalTables: Readonly<Record<string, PersonalTable>> = {
  usage_events: { about: 'user_id = person', end: 'cleared', store: 'billing.usageEvents' },
  subscriptions: { about: null, because: 'which plan the tenant has' },
  invoice_counters: { about: null, because: 'numbers' },
  invoices: { about: null, because: SUMS },
  invoice_lines: { about: null, because: SUMS },
};
