import { randomBytes } from 'node:crypto';
import { inject, onTestFinished } from 'vitest';
import { setDatabaseRights } from '#kit/database-setup.ts';
import { databaseUrl, withClient } from '../support/postgres.ts';

/** A copy of a whole database. */
export interface Backup {
  /** Sets the database back to the copy; connections to it are ended, as they are when it is really restored. */
  restore(): Promise<void>;
  /** Lets the copy be used beside the database, as if it had been restored elsewhere; returns its URL for the worker. */
  open(): Promise<string>;
}

/**
 * Backs up the database behind a URL; its connections are ended, and whoever needs one makes a new one. The copy is dropped
 * when the test is finished, or when `atEnd` says.
 */
export async function backUp(
  url: string,
  atEnd: (drop: () => Promise<void>) => void = (drop) => onTestFinished(drop),
): Promise<Backup> {
  const database = new URL(url).pathname.slice(1);
  const copy = `${inject('databasePrefix')}_backup_${randomBytes(6).toString('hex')}`;
  atEnd(() => onServer([`drop database if exists ${copy} with (force)`]));
  await copyDatabase(database, copy);
  return {
    restore: async () => {
      await onServer([`drop database ${database} with (force)`]);
      await copyDatabase(copy, database);
      await giveRights(database);
    },
    open: async () => {
      await giveRights(copy);
      return Object.assign(new URL(url), { pathname: `/${copy}` }).href;
    },
  };
}

/** A copy has the rights of a new database. */
async function giveRights(database: string): Promise<void> {
  await onServer([`alter database ${database} owner to tenon_owner`]);
  await setDatabaseRights(databaseUrl(database, { name: 'tenon_owner', password: 'owner' }));
}

async function copyDatabase(from: string, to: string): Promise<void> {
  await withClient(inject('postgresUrl'), async (client) => {
    await client.query(
      'select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()',
      [from],
    );
    await client.query(`create database ${to} template ${from}`);
  });
}

async function onServer(statements: readonly string[]): Promise<void> {
  await withClient(inject('postgresUrl'), async (client) => {
    for (const statement of statements) await client.query(statement);
  });
}
