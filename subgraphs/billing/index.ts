import { defineSubgraph } from '#kit/define-subgraph.ts';
import { usageImport } from './commands.ts';
import { Invoice, InvoiceLine } from './model.ts';
import { collectPersonalData, erasePersonalData } from './personal-data.ts';
import { personalTables } from './personal-tables.ts';
import { InvoiceResolver, UsageResolver } from './resolver.ts';
import { invoicePdfRoute, usageRoute } from './routes.ts';
import { findInvoices } from './service.ts';

/** Metered usage, price plans, and the invoices that come of both. */
export const billing = defineSubgraph({
  name: 'billing',
  resolvers: [InvoiceResolver, UsageResolver],
  entities: [Invoice, InvoiceLine],
  references: { Invoice: findInvoices },
  routes: [usageRoute, invoicePdfRoute],
  personalData: { tables: personalTables, collect: collectPersonalData, erase: erasePersonalData },
  commands: [usageImport],
});
