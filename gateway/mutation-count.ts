import {
  Kind,
  OperationTypeNode,
  type FragmentDefinitionNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { TenantContext } from '#schema/tenant-context.ts';
import { storeKey } from '#schema/tenant-store.ts';
import { uuidv7, type Id } from '#schema/ids.ts';
import { LOST_MUTATIONS } from '#schema/mutation-note.ts';
import type { MutationJournal, OwnedNote } from './mutation-journal.ts';

/** What an operation's mutation fields are audited as: the action by the name under which the answer holds the field. */
export type AuditedFields = ReadonlyMap<string, string>;

/** A mutation that was let through; where it answered with its payload, the log has to hold an event of it. */
export interface MutationNote {
  /** UUIDv7, so that the note is the same row however often it is written. */
  readonly id: string;
  readonly requestId: string;
  readonly action: string;
  readonly at: Date;
  /** False of a gateway that ended while the mutation was under way: nobody knows whether it was done. */
  readonly isAnswered: boolean;
}

/** Notes of one tenant that are on their way to her cell. */
export interface TenantNotes {
  readonly tenant: TenantContext;
  readonly notes: readonly MutationNote[];
}

/** Notes until they are stored. */
export interface MutationCounter {
  /**
   * Notes that these fields are about to be asked for. What it returns is called with the answer, once, and notes each
   * field that the answer holds; `data` is null where the answer holds nothing at all.
   */
  begin(
    served: { readonly tenant: TenantContext; readonly clock: () => Date },
    fields: AuditedFields,
  ): (data: Readonly<Record<string, unknown>> | null) => void;
  /** Hands out everything that waits for a cell, by tenant. */
  take(cell: string): TenantNotes[];
  /** Takes back what could not be stored. */
  putBack(notes: TenantNotes): void;
  /** The cells for which something waits. */
  cells(): string[];
  readonly waiting: number;
  /** What is under way and what waits, for a journal that begins anew. */
  held(): { readonly underWay: readonly OwnedNote[]; readonly waiting: readonly OwnedNote[] };
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

/** What a counter is made over. */
export interface CounterOptions {
  /** Bounds the notes that it holds. */
  readonly most?: number;
  /** Keeps what this process would take along at a sudden end. */
  readonly journal?: Pick<MutationJournal, 'begin' | 'end'>;
}

/** Returns a counter that has noted nothing yet. */
export function newMutationCounter({ most = MOST_NOTES, journal }: CounterOptions = {}): MutationCounter {
  const cells = new Map<string, Map<Id<'tnt'>, { tenant: TenantContext; notes: MutationNote[]; lost: number }>>();
  const underWay = new Set<readonly OwnedNote[]>();
  let waiting = 0;
  const of = (tenant: TenantContext) => {
    // By store, so that one that is away holds up no other.
    const tenants = cells.get(storeKey(tenant)) ?? new Map();
    cells.set(storeKey(tenant), tenants);
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
    begin: ({ tenant, clock }, fields) => {
      if (fields.size === 0) return ignore;
      const at = clock();
      const begun = [...fields].map(([key, action]) => Object.assign(ownedNote(tenant, action, at), { key }));
      underWay.add(begun);
      journal?.begin(begun);
      return (data) => {
        if (!underWay.delete(begun)) return;
        const answered = begun.filter(({ key }) => data?.[key] !== undefined && data[key] !== null);
        journal?.end(begun, answered);
        const doneAt = clock();
        for (const { id, requestId, action } of answered)
          note(tenant, { id, requestId, action, at: doneAt, isAnswered: true });
      };
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
    held: () => ({
      underWay: [...underWay].flat(),
      waiting: [...cells.values()].flatMap((tenants) =>
        [...tenants.values()].flatMap(({ tenant, notes }) =>
          notes.map((one) => ({ ...one, tenant: tenant.tenant, cell: tenant.cell })),
        ),
      ),
    }),
  };
}

function ownedNote({ tenant, cell, requestId }: TenantContext, action: string, at: Date): OwnedNote {
  return { id: uuidv7(), tenant, cell, requestId, action, at, isAnswered: false };
}

function ignore(): void {}

/** Under an id of the platform, for it speaks of several requests; the worker raises an alarm for it. */
function lostNote({ requestId }: TenantContext, count: number): MutationNote {
  return { id: uuidv7(), requestId: `${count} ${requestId}`, action: LOST_MUTATIONS, at: new Date(), isAnswered: true };
}

function lostIn({ action, requestId }: MutationNote): number {
  return action === LOST_MUTATIONS ? Number(requestId.split(' ', 1)[0]) : 1;
}
