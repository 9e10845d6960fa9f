import type { JsonValue } from '#schema/canonical-json.ts';
import { signStatement, STATEMENT_TYPE, verifyStatement, type VerifiedStatement } from '#schema/dsse.ts';
import { fail } from '#schema/errors.ts';
import { idOf } from '#schema/ids.ts';
import type { NoteSigner, NoteVerifier } from '#schema/signed-note.ts';
import type { TenantMove } from './move-store.ts';
import type { TableSum } from './row-sums.ts';

/** What the predicate of a certificate is called. */
export const MOVE_PREDICATE = 'https://tenon.dev/tenant-move/v1';

/** An end of a move. */
export interface MovePlace {
  readonly cell: string;
  readonly region: string;
  readonly store: string;
}

/** What a certificate says beside the move itself. */
export interface MoveFacts {
  readonly move: TenantMove;
  readonly from: MovePlace;
  readonly to: MovePlace;
  readonly removedRows: number;
  readonly endedAt: Date;
}

/**
 * Returns the signed certificate of a move (an in-toto statement in a DSSE envelope, as JSON): what was moved, table by
 * table with rows and digest as she left it and both ends had it, for how long she was held, and what became of the copy
 * that was left.
 */
export function signMove(facts: MoveFacts, signer: NoteSigner): string {
  const { move, from, to, removedRows, endedAt } = facts;
  const sums = move.sums ?? fail('INTERNAL_SERVER_ERROR', 'a move without sums has no certificate');
  const envelope = signStatement(
    {
      _type: STATEMENT_TYPE,
      subject: sums.map(({ store, table, sha256 }) => ({ name: `${store}/${table}`, digest: { sha256 } })),
      predicateType: MOVE_PREDICATE,
      predicate: {
        archive_left: { objects: move.left?.objects ?? 0, locked_until: move.left?.lockedUntil ?? null },
        compared_while_held: move.comparedRows,
        deployment: signer.name,
        ended_at: endedAt.toISOString(),
        from: { ...from },
        held_ms: move.fenceMs,
        move: idOf('mov', move.id),
        removed_rows: removedRows,
        rows: rowsOf(sums),
        switched_at: move.switchedAt?.toISOString() ?? null,
        tenant: move.tenant,
        to: { ...to },
      },
    },
    signer,
  );
  return JSON.stringify(envelope);
}

/** Returns what a certificate states, having verified that a trusted key has signed it; else BAD_USER_INPUT. */
export function verifyMove(certificate: string, keys: readonly NoteVerifier[]): VerifiedStatement {
  const verified = verifyStatement(JSON.parse(certificate), keys);
  if (verified.statement.predicateType === MOVE_PREDICATE) return verified;
  return fail('BAD_USER_INPUT', 'the statement is of another kind', { hint: 'It is no certificate of a move.' });
}

function rowsOf(sums: readonly TableSum[]): { [table: string]: JsonValue } {
  return Object.fromEntries(sums.map(({ store, table, rows }) => [`${store}/${table}`, rows]));
}
