import {
  Kind,
  OperationTypeNode,
  type FragmentDefinitionNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { TenantContext } from '#schema/tenant-context.ts';
import { uuidv7, type Id } from '#schema/ids.ts';
import { LOST_MUTATIONS } from '#schema/mutation-note.ts';

/** What an operation's mutation fields are audited as: the action by the name under which the answer holds the field. */
export type AuditedFields = ReadonlyMap<string, string>;

/** A mutation that was let through and answered with its payload; the log has to hold an event of it. */
export interface MutationNote {
  /** UUIDv7, so that the note is the same row however often it is written. */
  readonly id: string;
  readonly requestId: string;
  readonly action: string;
  readonly at: Date;
}

/** Notes of one tenant that are on their way to her cell. */
export interface TenantNotes {
  readonly tenant: TenantContext;
  readonly notes: readonly MutationNote[];
}

/** Notes until they are stored. */
export interface MutationCounter {
  /** Notes each of these fields that the answer holds; `data` is null where the answer holds nothing at all. */
  add(
    served: { readonly tenant: TenantContext; readonly clock: () => Date },
    fields: AuditedFields,
    data: Readonly<Record<string, unknown>> | null,
  ): void;
  /** Hands out everything that waits for a cell, by tenant. */
  take(cell: string): TenantNotes[];
  /** Takes back what could not be stored. */
  putBack(notes: TenantNotes): void;
  /** The cells for which something waits. */
  cells(): string[];
  readonly waiting: number;
}

/** About 200 bytes each. Beyond, a tenant's mutations are only counted, and their number is stored as one note. */
const MOST_NOTES = 50_000;

/** Returns the audited fields of a mutation; none of a query. */
export function auditedFieldsOf(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  actions: ReadonlyMap<string, string>,
): AuditedFields {
  const fields = new Map<string, string>();
  const read = ({ selections }: SelectionSetNode, seen: ReadonlySet<string>): void => {
    for (const selection of selections) {
      if (selection.kind === Kind.FIELD) {
        const action = actions.get(selection.name.value);
        if (action !== undefined) fields.set((selection.alias ?? selection.name).value, action);
      } else if (selection.kind === Kind.INLINE_FRAGMENT) read(selection.selectionSet, seen);
      else {
        const name = selection.name.value;
        const fragment = seen.has(name) ? undefined : fragments.get(name);
        if (fragment !== undefined) read(fragment.selectionSet, new Set([...seen, name]));
      }
    }
  };
  if (operation.operation === OperationTypeNode.MUTATION) read(operation.selectionSet, new Set());
  return fields;
}

/** Returns a counter that has noted nothing yet; `most` bounds the notes that it holds. */
export function newMutationCounter({ most = MOST_NOTES }: { readonly most?: number } = {}): MutationCounter {
  const cells = new Map<string, Map<Id<'tnt'>, { tenant: TenantContext; notes: MutationNote[]; lost: number }>>();
  let waiting = 0;
  const of = (tenant: TenantContext) => {
    const tenants = cells.get(tenant.cell) ?? new Map();
    cells.set(tenant.cell, tenants);
    const known = tenants.get(tenant.tenant) ?? { tenant, notes: [], lost: 0 };
    tenants.set(tenant.tenant, known);
    return known;
  };
  const note = (tenant: TenantContext, one: MutationNote): void => {
    const known = of(tenant);
    if (waiting >= most) known.lost += lostIn(one);
    else {
      known.notes.push(one);
      waiting += 1;
    }
  };
  return {
    add: ({ tenant, clock }, fields, data) => {
      if (data === null || fields.size === 0) return;
      const at = clock();
      for (const [key, action] of fields) {
        if (data[key] === undefined || data[key] === null) continue;
        note(tenant, { id: uuidv7(), requestId: tenant.requestId, action, at });
      }
    },
    take: (cell) => {
      const taken = [...(cells.get(cell)?.values() ?? [])];
      cells.delete(cell);
      return taken.map(({ tenant, notes, lost }) => {
        waiting -= notes.length;
        return { tenant, notes: lost === 0 ? notes : [...notes, lostNote(tenant, lost)] };
      });
    },
    putBack: ({ tenant, notes }) => {
      for (const one of notes) note(tenant, one);
    },
    cells: () => [...cells.keys()],
    get waiting() {
      return waiting;
    },
  };
}

/** Under an id of the platform, for it speaks of several requests; the worker raises an alarm for it. */
function lostNote({ requestId }: TenantContext, count: number): MutationNote {
  return { id: uuidv7(), requestId: `${count} ${requestId}`, action: LOST_MUTATIONS, at: new Date() };
}

function lostIn({ action, requestId }: MutationNote): number {
  return action === LOST_MUTATIONS ? Number(requestId.split(' ', 1)[0]) : 1;
}
