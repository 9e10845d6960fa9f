/**
 * The action of a note that stands for mutations which a gateway could not note one by one, since the cell was away for
 * too long: its request id begins with their number. None of them can be held against the log, so each counts as missing.
 */
export const LOST_MUTATIONS = 'gateway.lose_notes';

/** The action of an event that says: the mutation was let through, found nothing to change, and changed nothing. */
export const UNCHANGED = 'mutation.unchanged';
