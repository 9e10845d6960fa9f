import { log } from '#kit/log.ts';
import { readInterfaceObjects, withNamedTypes } from './interface-objects.ts';
import { missingKeys } from './plan-completeness.ts';
import type { QueryPlan } from './plan.ts';
import { plainRequires } from './required-arguments.ts';
import { newStockPlanner } from './stock-planner.ts';

/** Plans operations over one supergraph. */
export interface Planner {
  /** Resolves to the plan of one operation of a valid document; the event loop stays free while the native one works. */
  plan(operationText: string, operationName: string | null): Promise<QueryPlan>;
}

/** Says which planner is taken: the native one where it runs, or the stock one in every case. */
export interface PlannerOptions {
  readonly native?: boolean;
}

/** One warning a process is enough: a supergraph may be loaded many times. */
let warned = false;
const NO_LABELS = new Set<string>();

/**
 * Resolves to the planner of a supergraph: the native one, or the stock one with one warning where no native build
 * fits the platform. An operation that the native planner finds no way for, or leaves a field of out, is tried on the
 * stock one, whose plan is taken where it has all of it, or more.
 */
export async function newPlanner(supergraphSdl: string, options: PlannerOptions = {}): Promise<Planner> {
  const { sdl, restore } = plainRequires(supergraphSdl);
  const planner = await plannerOf(sdl, options);
  return { plan: async (text, name) => restore(await planner.plan(text, name)) };
}

async function plannerOf(supergraphSdl: string, options: PlannerOptions): Promise<Planner> {
  const native = options.native === false ? null : await nativePlanner(supergraphSdl);
  const objects = readInterfaceObjects(supergraphSdl);
  const stock = once(() => newStockPlanner(supergraphSdl));
  if (native === null) return { plan: async (text, name) => (await stock()).plan(text, name) };
  return {
    plan: async (text, name) => {
      try {
        const planned = (await native.planAsync(text, name, NO_LABELS, 0)) as QueryPlan;
        const plan = withNamedTypes(planned, { text, objects });
        const missing = missingKeys(text, plan);
        if (missing === 0) return plan;
        const other = await (await stock()).plan(text, name).catch(() => null);
        return other !== null && missingKeys(text, other) < missing ? other : plan;
      } catch (failure) {
        const other = await (await stock()).plan(text, name).catch(() => null);
        if (other === null || missingKeys(text, other) > 0) throw failure;
        return other;
      }
    },
  };
}

async function nativePlanner(supergraphSdl: string) {
  const native = await import('@graphql-hive/router-query-planner').catch(warnOnce);
  if (native === null) return null;
  try {
    return new native.QueryPlanner(supergraphSdl);
  } catch (failure) {
    // What neither of them takes is no supergraph.
    await newStockPlanner(supergraphSdl);
    log('warn', `the native query planner does not take this supergraph; the stock one plans: ${String(failure)}`);
    return null;
  }
}

function warnOnce(failure: unknown): null {
  if (!warned) log('warn', `the native query planner does not run here; the stock one plans: ${String(failure)}`);
  warned = true;
  return null;
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => (made ??= make());
}
