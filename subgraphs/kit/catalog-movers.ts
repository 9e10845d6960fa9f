/** The role with whose rights tenants are moved; nobody logs in as it. */
export const MOVER = 'tenon_mover';

/**
 * The functions of that role, as `schema.name(arguments)`. Each acts for the tenant of the signed context alone, and but
 * for the reading ones only on a copy that nobody uses.
 */
export const MOVING: ReadonlySet<string> = new Set([
  'tenon.absence()',
  'tenon.close_changes()',
  'tenon.copy_columns(target text, row_text text, columns text[])',
  'tenon.copy_rows(target text, rows text[])',
  'tenon.end_absence()',
  'tenon.note_applied(upto pg_lsn)',
  'tenon.note_snapshot(held pg_snapshot)',
  'tenon.open_changes()',
  'tenon.read_changes()',
  'tenon.remove_copy(target text, most bigint)',
  'tenon.set_absence(of_move uuid, how text)',
  'tenon.settle_tenant(new_region text, new_cell text)',
  'tenon.take_changes(upto pg_lsn)',
  'tenon.uncopy_rows(target text, rows text[])',
]);

/** What the owner lets others do for a move or because of one. */
export const MOVING_AS_OWNER: readonly string[] = [
  'tenon.absent()',
  'tenon.enter(who uuid)',
  'tenon.publish_rows()',
  'tenon.raise_position(target text, least_value bigint)',
  'tenon.unpublish_rows()',
];

/** Who stands elsewhere is noted beside the tables of tenants, by that role alone. */
export const ABSENCE_RIGHTS: readonly string[] = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'].map(
  (right) => `tenon.absent_tenants: ${MOVER} (${right})`,
);
