import type pg from 'pg';

/**
 * Returns a text that is another one after the server was started, or the database or its tables were made again: nothing
 * that sets a database back leaves it as it was.
 */
export async function incarnationOf(audit: pg.Pool): Promise<string> {
  const { rows } = await audit.query<{ incarnation: string }>(
    `select concat_ws(' ', pg_postmaster_start_time(), (select oid from pg_database where datname = current_database()),
       'app.log_heads'::regclass::oid, pg_relation_filenode('app.log_heads')) as incarnation`,
  );
  return rows[0]?.incarnation ?? '';
}
