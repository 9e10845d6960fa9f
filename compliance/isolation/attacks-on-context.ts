import { isKnownDefiner } from '#kit/catalog-table-rules.ts';
import { ask, PASSED, REFUSED, type Attack } from './attack.ts';

const TENANT = 'select tenon.tenant_id() as id';

/** Attacks on what says who asks, and on what the server shows beside its tables. */
export const ATTACKS_ON_CONTEXT: readonly Attack[] = [
  {
    vector: 2,
    sentence: 'The role is bound by row security and belongs to no role that may do more.',
    run: async (ground) => {
      const rows = await ask(
        ground,
        `select r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb or r.rolreplication as mighty,
                (select string_agg(other.rolname, ', ') from pg_roles other
                  where other.oid <> r.oid and pg_has_role(r.oid, other.oid, 'member')
                    and (r.rolname, other.rolname) <> ('tenon_app', 'tenon_support')) as groups
           from pg_roles r where r.rolname = current_user`,
      );
      if (rows[0]?.['mighty'] !== false) return 'the role has rights beyond row security';
      return rows[0]['groups'] === null ? null : `it may become ${JSON.stringify(rows[0]['groups'])}`;
    },
  },
  {
    vector: 5,
    sentence: 'No function but those that are known to need it runs with the rights of its owner.',
    run: async (ground) => {
      const rows = await ask(
        ground,
        `select n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' as name
           from pg_proc p join pg_namespace n on n.oid = p.pronamespace
          where p.prosecdef and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            and has_function_privilege(p.oid, 'execute') order by 1`,
      );
      const unknown = rows.map(({ name }) => String(name)).filter((name) => !isKnownDefiner(name));
      return unknown.length === 0 ? null : unknown.join(', ');
    },
  },
  {
    vector: 6,
    sentence: 'Turning row security off is an error and shows nothing.',
    run: async ({ say, readable }) => {
      await say('set local row_security = off');
      // A table under row security answers with an error even where it is empty.
      for (const name of readable) {
        const { code } = await say(`select from ${name} limit 1`);
        if (code !== REFUSED) return `${name} answers ${code}`;
      }
      return null;
    },
  },
  {
    vector: 12,
    sentence: 'The role holds no right to TRUNCATE, to refer to, or to put triggers on a table.',
    run: async (ground) => {
      const rows = await ask(
        ground,
        `select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname in ('app', 'tenon') and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and has_table_privilege(c.oid, 'truncate, references, trigger')`,
      );
      return rows.length === 0 ? null : rows.map(({ name }) => name).join(', ');
    },
  },
  {
    vector: 17,
    sentence: 'An empty context, as every used connection has it, is nobody and no error.',
    run: async ({ say }) => {
      await say(`select set_config('app.tenant', '', true)`);
      const { code, rows } = await say(TENANT);
      return code === PASSED && rows[0]?.['id'] === null ? null : `it is ${code}, ${JSON.stringify(rows[0]?.['id'])}`;
    },
  },
  {
    vector: 20,
    sentence:
      'Nobody can name herself another tenant: not bare, not with the signature of her own token, not with a token for another cell, not by a guess.',
    run: async ({ say, a, b }) => {
      const [, expiry = '', kid = '', mac = ''] = a.token.split('.');
      const forged = [
        b.uuid,
        [b.uuid, expiry, kid, mac].join('.'),
        [a.uuid, String(Number(expiry) + 1), kid, mac].join('.'),
        [b.uuid, expiry, 'none', mac].join('.'),
        [b.uuid, expiry, kid, '0'.repeat(64)].join('.'),
        b.tokenElsewhere,
      ];
      for (const token of forged) {
        await say(`select set_config('app.tenant', $1, true)`, [token]);
        const { code, rows } = await say(TENANT);
        if (code === PASSED) return `a forged context was believed: ${JSON.stringify(rows[0]?.['id'])}`;
      }
      return null;
    },
  },
  {
    vector: 21,
    sentence: 'The role makes nothing that could stand in the place of a table: no temporary table, no schema.',
    run: async (ground) => {
      const rows = await ask(
        ground,
        `select has_database_privilege(current_database(), 'temporary, create') as database,
                (select string_agg(nspname, ', ') from pg_namespace
                  where nspname !~ '^pg_t' and has_schema_privilege(oid, 'create')) as schemas`,
      );
      if (rows[0]?.['database'] !== false) return 'the role may make temporary tables or schemas';
      return rows[0]['schemas'] === null ? null : `the role may make things in ${JSON.stringify(rows[0]['schemas'])}`;
    },
  },
  {
    vector: 23,
    sentence: 'Sequences, statistics of columns and large objects show nothing.',
    run: async (ground) => {
      const rows = await ask(
        ground,
        `select (select string_agg(c.relname, ', ') from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where n.nspname in ('app', 'tenon') and case when c.relkind = 'S'
                    then has_sequence_privilege(c.oid, 'select, usage, update') else false end) as sequences,
                (select count(*)::int from pg_stats where schemaname = 'app') as statistics,
                has_table_privilege('pg_largeobject', 'select') as objects,
                has_table_privilege('pg_statistic', 'select') as histogram`,
      );
      const [found] = rows;
      const isHeld = found?.['sequences'] === null && found['statistics'] === 0;
      return isHeld && found['objects'] === false && found['histogram'] === false ? null : JSON.stringify(found);
    },
  },
  {
    vector: 24,
    sentence: 'A plan that was made for one tenant asks again who runs it.',
    run: async ({ say, as, a, b, nobody }) => {
      await say('deallocate tenon_attack');
      await say(`prepare tenon_attack as ${TENANT}`);
      for (const tenant of [a, b, nobody, a]) {
        await as(tenant);
        const { rows } = await say('execute tenon_attack');
        if (rows[0]?.['id'] !== tenant.uuid) return `it ran for ${JSON.stringify(rows[0]?.['id'])}`;
      }
      return null;
    },
  },
];
