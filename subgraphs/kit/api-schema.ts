import { readFileSync } from 'node:fs';
import { transformSupergraphToPublicSchema } from '@theguild/federation-composition';
import { buildASTSchema, parse, type GraphQLSchema } from 'graphql';
import { readCostSchema, type CostSchema } from '#schema/cost/cost-schema.ts';

/** What clients of a supergraph see, and what it costs them. */
export interface ApiSchema {
  readonly schema: GraphQLSchema;
  readonly costs: CostSchema;
}

/** Returns the API schema of a supergraph SDL, without what federation adds; SDL that is no supergraph throws. */
export function apiSchemaOf(supergraphSdl: string): ApiSchema {
  const document = transformSupergraphToPublicSchema(parse(supergraphSdl));
  return { schema: buildASTSchema(document), costs: readCostSchema(supergraphSdl) };
}

let platform: ApiSchema | null = null;

/** Returns the API schema of the platform's own supergraph, read once, by the first who needs it. */
export function platformApiSchema(): ApiSchema {
  platform ??= apiSchemaOf(readFileSync(new URL('../../schema/graphql/supergraph.graphql', import.meta.url), 'utf8'));
  return platform;
}
