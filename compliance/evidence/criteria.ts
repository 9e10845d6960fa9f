/**
 * What this platform claims under each of the Trust Services Criteria that it can give evidence for, in its own words.
 * The ids are those of the 2017 criteria; their text is not repeated here.
 */
export const CRITERIA = {
  'C1.1': 'What belongs to one customer is told apart from what belongs to another in every table, and kept that way.',
  'CC2.1': 'What is reported of the system rests on records that are complete, ordered and protected from change.',
  'CC6.1': 'Data is reached under the signed context of one tenant only; the database enforces it, not the program.',
  'CC6.2': 'People are registered before they are given a credential, and each credential was issued on record.',
  'CC6.3': 'Access follows roles; it is changed and taken away on record, and ends at once when somebody leaves.',
  'CC6.6': 'No role of the running program can step around row security, change tables or take another role.',
  'CC7.1': 'The configuration of databases and interface is known by digests, so that a change shows.',
  'CC7.2': 'What happens is recorded in a sealed log, and faults of the recording itself are found and shown.',
  'CC8.1': 'Changes of the stores are numbered migrations that are applied once and stay as they were applied.',
  'PI1.5': 'Records are stored completely and unchanged, for as long as their retention says.',
} as const;

/** A criterion that a collector speaks to. */
export type CriterionId = keyof typeof CRITERIA;
