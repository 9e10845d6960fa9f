/** The phases of a move of a tenant, in their order; the last two pairs end it. */
export const MOVE_PHASES = [
  'requested',
  'copying',
  'following',
  'switching',
  'removing',
  'done',
  'cancelling',
  'cancelled',
] as const;

/** How far a move of a tenant is. */
export type MovePhase = (typeof MOVE_PHASES)[number];

/** Until then a move can be called off, and has changed nothing of where the tenant lives. */
export const REVERSIBLE_PHASES: readonly MovePhase[] = ['requested', 'copying', 'following'];
