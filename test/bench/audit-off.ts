import { register } from 'node:module';

// Loaded before a server (`--import`), it lets every mutation run without its audit event: what is left out is all that
// `appendAudit` does. For the benchmark alone, which has to know what auditing adds.
register(
  `data:text/javascript,${encodeURIComponent(`
    const silent = ${JSON.stringify(new URL('./audit-off-outbox.ts', import.meta.url).href)};
    export function resolve(specifier, context, next) {
      return specifier === '#kit/outbox.ts' ? { url: silent, format: 'module', shortCircuit: true } : next(specifier, context);
    }
  `)}`,
);
