import type { ColumnOptions, PrimaryColumnOptions } from 'typeorm';
import { idOf, uuidOf, type IdPrefix } from '#schema/ids.ts';

/** Options of the column that holds a row's own id. */
export function primaryId(prefix: IdPrefix): PrimaryColumnOptions {
  return idColumn(prefix) as PrimaryColumnOptions;
}

/** Options of a column that holds a UUID and shows as a public id of the kind. */
export function idColumn(prefix: IdPrefix, options: ColumnOptions = {}): ColumnOptions {
  return {
    ...options,
    type: 'uuid',
    transformer: {
      from: (uuid: string | null) => (uuid === null ? null : idOf(prefix, uuid)),
      to: (id: unknown) => (typeof id === 'string' ? uuidOf(prefix, id) : id),
    },
  };
}

/** Options of a `timestamptz` column that PostgreSQL fills at insert. */
export const CREATED_AT: ColumnOptions = { type: 'timestamptz', name: 'created_at', insert: false, update: false };
