import { ask, PASSED, REFUSED, type Attack, type Ground, type MadeUpTenant, type Victims } from './attack.ts';

/**
 * Attacks on the rows of another tenant, by what SQL can say of rows. Where the wall is gone they reach for made-up rows and
 * for the first few of others, so that they hold up nobody.
 */
export const ATTACKS_ON_ROWS: readonly Attack[] = [
  {
    vector: 1,
    sentence: 'Row security is active for the role in every table, whether it owns it or not.',
    run: async (ground) => {
      const rows = await ask(
        ground,
        `select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'app' and c.relkind in ('r', 'p') and not row_security_active(c.oid) order by 1`,
      );
      return rows.length === 0 ? null : `not active in ${rows.map(({ name }) => name).join(', ')}`;
    },
  },
  {
    vector: 3,
    sentence: 'No table, view, partition or materialized view shows a row to a tenant who has none.',
    run: async (ground) => {
      await ground.as(ground.nobody);
      return firstWithRows(ground, ground.readable);
    },
  },
  {
    vector: 18,
    sentence: 'Without a tenant nothing shows a row, but to the worker what it drains for all.',
    run: async (ground) => {
      await ground.as(null);
      return firstWithRows(
        ground,
        ground.readable.filter((name) => !ground.openWithoutContext.has(name)),
      );
    },
  },
  withVictims(
    15,
    "Another tenant's row cannot be read, however many policies there are.",
    async (ground, { table }) => {
      await ground.as(ground.a);
      const { count } = await ground.say(`select from ${table} where tenant_id = $1`, [ground.b.uuid]);
      const own = await ground.say(`select from ${table} limit 10`);
      if (own.count !== 1) return `a tenant with one row sees ${own.count} rows of ${table}`;
      return count === 0 ? null : `${count} rows of another tenant were shown`;
    },
  ),
  withVictims(7, 'No row can be written into another tenant, nor moved there.', async (ground, victims) => {
    await ground.as(ground.a);
    const inserted = await insert(ground, victims, { tenant: ground.b });
    if (inserted.code !== REFUSED) return `an insert into another tenant ended with ${inserted.code}`;
    if (victims.changed === null) return null;
    const moved = await ground.say(`update ${victims.table} set tenant_id = $1 where id = $2`, [
      ground.b.uuid,
      ground.a.row,
    ]);
    if (moved.code !== REFUSED) return `a row was moved into another tenant (${moved.code})`;
    const changed = await ground.say(
      `update ${victims.table} set ${victims.changed} = ${victims.changed} where tenant_id = $1`,
      [ground.b.uuid],
    );
    return changed.count === 0 ? null : `${changed.count} rows of another tenant were changed`;
  }),
  withVictims(8, 'The same key is free in one tenant whether another has it or not.', async (ground, victims) => {
    await ground.as(ground.a);
    const { code } = await insert(ground, victims, { tenant: ground.a, id: ground.b.row });
    return code === PASSED ? null : `a key that another tenant has is taken: ${code}`;
  }),
  withVictims(9, 'ON CONFLICT tells nothing of a row of another tenant and leads to none.', async (ground, victims) => {
    await ground.as(ground.a);
    const update = victims.changed === null ? '' : `do update set ${victims.changed} = excluded.${victims.changed}`;
    for (const conflict of ['do nothing', ...(update === '' ? [] : [`(tenant_id, id) ${update}`])]) {
      const over = await insert(ground, victims, { tenant: ground.b, conflict: `on conflict ${conflict}` });
      const free = await insert(ground, victims, {
        tenant: ground.b,
        id: ground.nobody.row,
        conflict: `on conflict ${conflict}`,
      });
      if (over.code !== REFUSED || over.text !== free.text)
        return `over a row that is there: ${over.code} ${over.text}; over none: ${free.code} ${free.text}`;
    }
    return null;
  }),
  {
    vector: 10,
    sentence: 'No reference leads to a row of another tenant; the answer is the one for no row at all.',
    run: async (ground) => {
      if (ground.victims?.table !== 'app.projects') return null;
      await ground.as(ground.a);
      const [hit, miss] = [await refer(ground, ground.b.row), await refer(ground, ground.nobody.row)];
      const isSame = hit.text.replaceAll(ground.b.row, 'id') === miss.text.replaceAll(ground.nobody.row, 'id');
      return hit.code === '23503' && isSame ? null : `a reference to another tenant's row ended with ${hit.code}`;
    },
  },
  {
    vector: 11,
    sentence: 'Deleting cascades within the tenant alone, also where both use the same ids.',
    run: async (ground) => {
      if (ground.victims?.table !== 'app.projects') return null;
      const { a, b, as, say } = ground;
      await as(b);
      await refer(ground, a.row);
      await refer(ground, b.row);
      const before = await say('select from app.documents');
      await as(a);
      await say(`insert into app.projects (id, name) values ($1, 'twin')`, [b.row]);
      await refer(ground, b.row);
      await say('delete from app.projects where id = any($1)', [[a.row, b.row]]);
      await as(b);
      const { count } = await say('select from app.documents');
      return count === before.count ? null : `${before.count - count} rows of another tenant went with it`;
    },
  },
  withVictims(13, "COPY TO gives the tenant's own rows, COPY FROM is refused.", async (ground, { table }) => {
    await ground.as(ground.nobody);
    const out = await ground.say(`copy (select * from ${table} limit 10) to stdout`);
    if (out.count !== 0) return `${out.count} rows were copied out`;
    const into = await ground.say(`copy ${table} from stdin`);
    return into.code === '0A000' || into.code === REFUSED ? null : `COPY FROM ended with ${into.code}`;
  }),
  withVictims(22, 'A condition is never evaluated on a row of another tenant.', async (ground, { table }) => {
    await ground.as(ground.nobody);
    const { code } = await ground.say(`select from ${table} where 1 / (length(id::text) - 36) > 0`);
    return code === PASSED ? null : `it was: ${code}`;
  }),
];

/** An attack that needs a row of either tenant; a role that may write none has nothing to attack with. */
function withVictims(
  vector: number,
  sentence: string,
  run: (ground: Ground, victims: Victims) => Promise<string | null>,
): Attack {
  return {
    vector,
    sentence,
    run: async (ground) => (ground.victims === null ? null : run(ground, ground.victims)),
  };
}

async function firstWithRows({ say }: Ground, names: readonly string[]): Promise<string | null> {
  for (const name of names) {
    const { code, rows } = await say(`select exists (select from ${name}) as shown`);
    if (code !== PASSED) return `${name} cannot be read: ${code}`;
    if (rows[0]?.['shown'] === true) return `${name} shows rows`;
  }
  return null;
}

function insert(
  { say, b }: Ground,
  { table, columns, values }: Victims,
  { tenant, id = b.row, conflict = '' }: { tenant: MadeUpTenant; id?: string; conflict?: string },
) {
  return say(`insert into ${table} (tenant_id, ${columns}) values ($2, ${values}) ${conflict}`, [id, tenant.uuid]);
}

/** A document in a project. */
function refer({ say }: Ground, project: string) {
  return say(`insert into app.documents (id, project_id, name) values (gen_random_uuid(), $1, 'x')`, [project]);
}
