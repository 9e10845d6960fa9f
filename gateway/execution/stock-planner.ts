import { createRequire } from 'node:module';
import type { PathSegment, PlanNode, QueryPlan, RequiresSelection, Rewrite, RewriteSegment } from './plan.ts';

/** The stock planner; it holds the event loop while it plans. */
export interface StockPlanner {
  plan(operationText: string, operationName: string | null): Promise<QueryPlan>;
}

/** The parts of the stock planner that are used; its packages are dependencies of `@apollo/gateway`, not ours. */
interface StockPackages {
  readonly Supergraph: { build(sdl: string): { apiSchema(): object } };
  readonly QueryPlanner: new (supergraph: object) => { buildQueryPlan(operation: object): { node?: StockNode } };
  operationFromDocument(schema: object, document: object, options: { operationName?: string }): object;
  parse(text: string): object;
}

interface StockRewrite {
  readonly kind: 'ValueSetter' | 'KeyRenamer';
  readonly path: readonly string[];
  readonly setValueTo?: unknown;
  readonly renameKeyTo?: string;
}

type StockNode =
  | { readonly kind: 'Sequence' | 'Parallel'; readonly nodes: readonly StockNode[] }
  | { readonly kind: 'Flatten'; readonly path: readonly (string | number)[]; readonly node: StockNode }
  | {
      readonly kind: 'Condition';
      readonly condition: string;
      readonly ifClause?: StockNode;
      readonly elseClause?: StockNode;
    }
  | {
      readonly kind: 'Fetch';
      readonly serviceName: string;
      readonly variableUsages?: readonly string[];
      readonly operation: string;
      readonly operationKind: string;
      readonly operationName?: string;
      readonly requires?: readonly RequiresSelection[];
      readonly inputRewrites?: readonly StockRewrite[];
      readonly outputRewrites?: readonly StockRewrite[];
    };

/** Resolves to the planner inside `@apollo/gateway`, whose plans come out in the native planner's shape. */
export async function newStockPlanner(supergraphSdl: string): Promise<StockPlanner> {
  const stock = stockPackages();
  const supergraph = stock.Supergraph.build(supergraphSdl);
  const apiSchema = supergraph.apiSchema();
  const planner = new stock.QueryPlanner(supergraph);
  return {
    plan: async (text, operationName) => {
      const options = operationName === null ? {} : { operationName };
      const { node } = planner.buildQueryPlan(stock.operationFromDocument(apiSchema, stock.parse(text), options));
      return node === undefined ? { kind: 'QueryPlan' } : { kind: 'QueryPlan', node: nodeOf(node) };
    },
  };
}

function stockPackages(): StockPackages {
  const gateway = createRequire(createRequire(import.meta.url).resolve('@apollo/gateway'));
  return {
    ...(gateway('@apollo/federation-internals') as Pick<StockPackages, 'Supergraph' | 'operationFromDocument'>),
    ...(gateway('@apollo/query-planner') as Pick<StockPackages, 'QueryPlanner'>),
    ...(gateway('graphql') as Pick<StockPackages, 'parse'>),
  };
}

function nodeOf(node: StockNode): PlanNode {
  switch (node.kind) {
    case 'Sequence':
    case 'Parallel':
      return { kind: node.kind, nodes: node.nodes.map(nodeOf) };
    case 'Flatten':
      return { kind: 'Flatten', path: node.path.flatMap(segmentsOf), node: nodeOf(node.node) };
    case 'Condition': {
      const { ifClause, elseClause } = node;
      return {
        kind: 'Condition',
        condition: node.condition,
        ...(ifClause === undefined ? {} : { ifClause: nodeOf(ifClause) }),
        ...(elseClause === undefined ? {} : { elseClause: nodeOf(elseClause) }),
      };
    }
    case 'Fetch': {
      const { inputRewrites, outputRewrites, ...fetch } = node;
      return {
        ...fetch,
        ...(inputRewrites === undefined ? {} : { inputRewrites: inputRewrites.map(rewriteOf) }),
        ...(outputRewrites === undefined ? {} : { outputRewrites: outputRewrites.map(rewriteOf) }),
      };
    }
    default:
      throw new Error(`the stock planner made a node of an unknown kind: ${JSON.stringify(node)}`);
  }
}

/** The stock planner writes type conditions behind a bar: `name|[Book,Film]` or `@|[Book]`. */
function segmentsOf(element: string | number): PathSegment[] {
  const [name = '', types] = String(element).split('|');
  const segment: PathSegment[] = name === '' ? [] : [name === '@' ? '@' : { Field: name }];
  if (types === undefined) return segment;
  return [...segment, { TypeCondition: types.replace(/^\[|\]$/g, '').split(',') }];
}

function rewriteOf(rewrite: StockRewrite): Rewrite {
  const path = rewrite.path.map((element): RewriteSegment => {
    const types = /^\.\.\. on (.+)$/.exec(element)?.[1];
    return types === undefined ? { Key: element } : { TypenameEquals: [types] };
  });
  return rewrite.kind === 'KeyRenamer'
    ? { KeyRenamer: { path, renameKeyTo: rewrite.renameKeyTo ?? '' } }
    : { ValueSetter: { path, setValueTo: rewrite.setValueTo } };
}
