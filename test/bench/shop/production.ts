/** What a gateway of production is started with: the flags that the README recommends, and one trace in a hundred kept. */
export const PRODUCTION = {
  NODE_OPTIONS: '--max-semi-space-size=32 --max-old-space-size=256',
  OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
  OTEL_TRACES_SAMPLER_ARG: '0.01',
};
