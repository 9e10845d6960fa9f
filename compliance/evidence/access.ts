import { inTenant } from '#kit/database.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { uuidOrNull } from '#schema/ids.ts';
import { credentialsSql, liveCredentials } from './access-credentials.ts';
import { revocationEvidence, type RevocationEvidence } from './access-revocations.ts';
import { presentUsers, UNRECORDED, USERS_SQL } from './access-users.ts';
import type { Collection, CollectionScope, Collector, ControlException, ControlFinding } from './collector.ts';
import { writeFromLog, type LogPopulation } from './log-population.ts';
import type { SealedEntry } from './sealed-log.ts';
import { cellText, type Row } from './table.ts';

/** E2: who came, changed and left in the window by the log, compared with who has access by the tables. */
export const access: Collector = {
  id: 'E2',
  title: 'Access lifecycle',
  criteria: ['CC6.2', 'CC6.3'],
  collect,
};

const LIFECYCLE: LogPopulation = {
  name: 'user-lifecycle',
  title: 'People created, changed, deactivated, reactivated and deleted',
  actions: ['user.create', 'user.provision', 'user.update', 'user.deactivate', 'user.reactivate', 'user.delete'],
};

const DEACTIVATIONS: LogPopulation = {
  name: 'deactivations',
  title: 'People whose access ended, with what ended with it',
  actions: ['user.deactivate', 'user.delete'],
  extra: {
    ended_sessions: ({ event }) => count(event.context['sessions']),
    ended_api_keys: ({ event }) => count(event.context['api_keys'] ?? event.context['apiKeys']),
  },
};

const ROLE_CHANGES: LogPopulation = {
  name: 'role-changes',
  title: 'Roles made, granted and taken away, and groups that carry roles',
  actions: [
    'role.create',
    'role.grant',
    'role.revoke',
    'group.map_role',
    'group.provision',
    'group.update',
    'group.delete',
  ],
  extra: { user: ({ event }) => text(event.context['user']), group: ({ event }) => text(event.context['group']) },
};

const CREDENTIALS: LogPopulation = {
  name: 'credential-changes',
  title: 'Sessions, keys, tokens and sign-in links issued and ended',
  actions: [
    'api_key.create',
    'scim_token.create',
    'session.create',
    'sign_in_link.create',
    'session.end',
    'credential.revoke',
  ],
  extra: { user: ({ event }) => text(event.context['user']) },
};

/** What the populations told while they were written. */
interface Observed {
  readonly leavers: Map<string, SealedEntry>;
  readonly users: { rows: number; active: number; readonly exceptions: ControlException[] };
  readonly credentials: { rows: number; readonly exceptions: ControlException[] };
}

async function collect(scope: CollectionScope): Promise<Collection> {
  const leavers: Observed['leavers'] = new Map();
  const users: Observed['users'] = { rows: 0, active: 0, exceptions: [] };
  const credentials: Observed['credentials'] = { rows: 0, exceptions: [] };
  const populations = [
    await writeFromLog(scope, LIFECYCLE),
    await writeFromLog(scope, {
      ...DEACTIVATIONS,
      observe: (found) => leavers.set(found.entry.event.resource.id, found),
    }),
    await writeFromLog(scope, ROLE_CHANGES),
    await writeFromLog(scope, CREDENTIALS),
    await scope.write({
      name: 'users-present',
      title: 'People in the table when the pack was built, each with what the log says of her',
      select: null,
      columns: ['user', 'user_name', 'active', 'created_at', 'logged', 'log_active', 'log_seq', 'difference'],
      rows: watched(presentUsers(scope), (row) => {
        users.rows += 1;
        if (row['active'] === true) users.active += 1;
        if (typeof row['difference'] === 'string') users.exceptions.push(exceptionOf(row, 'user'));
      }),
      query: USERS_SQL,
      expected: () => countOf(scope, 'select count(*) as count from users'),
    }),
    await scope.write({
      name: 'credentials-live',
      title: 'Credentials that worked at the end of the window, or of the sealed log where that is earlier',
      select: null,
      columns: ['credential', 'kind', 'name', 'user', 'created_at', 'expires_at', 'issued_seq', 'difference'],
      rows: watched(liveCredentials(scope), (row) => {
        credentials.rows += 1;
        if (typeof row['difference'] === 'string') credentials.exceptions.push(exceptionOf(row, 'credential'));
      }),
      query: credentialsSql(scope.asOf),
      expected: () => countLive(scope),
    }),
  ];
  const revocations = await revocationEvidence(scope);
  const stillOpen = await openAfterLeaving(scope, leavers);
  return {
    populations: [...populations, ...revocations.populations],
    controls: controlsOf({ leavers, users, credentials, revocations }, stillOpen),
  };
}

function controlsOf(
  { leavers, users, credentials, revocations }: Observed & { readonly revocations: RevocationEvidence },
  stillOpen: readonly ControlException[],
): ControlFinding[] {
  return [
    {
      criterion: 'CC6.2',
      test: 'Each person in the table and each working credential was looked for in the log: who came without an entry is an exception. How long the end of each access took is told beside it.',
      populations: ['user-lifecycle', 'credential-changes', 'users-present', 'credentials-live', 'revocations'],
      exceptions: [...users.exceptions.filter(isUnrecorded), ...credentials.exceptions],
      untested: null,
      facts: {
        users_present: users.rows,
        users_active: users.active,
        credentials_live: credentials.rows,
        ...revocations.facts,
      },
    },
    {
      criterion: 'CC6.3',
      test: 'For everybody the state by the log was compared with the state by the table; whoever left was looked for among working credentials. For each end of an access it was read from the log how long it took until every gateway refused it; what a gateway did not confirm is an exception.',
      populations: ['deactivations', 'role-changes', 'users-present', 'revocations', 'revocations-open'],
      exceptions: [
        ...users.exceptions.filter((exception) => !isUnrecorded(exception)),
        ...stillOpen,
        ...revocations.exceptions,
      ],
      untested: null,
      facts: { deactivated_in_window: leavers.size, users_active: users.active, ...revocations.facts },
    },
  ];
}

function isUnrecorded({ sentence }: ControlException): boolean {
  return sentence === UNRECORDED;
}

async function* watched(rows: AsyncIterable<Row>, watch: (row: Row) => void): AsyncGenerator<Row, void, undefined> {
  for await (const row of rows) {
    watch(row);
    yield row;
  }
}

function exceptionOf(row: Row, object: 'user' | 'credential'): ControlException {
  const seq = row['log_seq'];
  return {
    object: cellText(row[object]),
    sentence: cellText(row['difference']),
    seq: typeof seq === 'number' ? seq : null,
  };
}

/** Whoever left and has not come back must have nothing that works; read from the table, person by person. */
async function openAfterLeaving(
  scope: CollectionScope,
  leavers: ReadonlyMap<string, SealedEntry>,
): Promise<ControlException[]> {
  const ids = [...leavers.keys()].map((id) => uuidOrNull('usr', id)).filter((uuid) => uuid !== null);
  const rows = await inTenant(scope.ctx, (tx) =>
    tx.query<{ user_id: string; count: number }>(
      `select c.user_id, count(*)::integer as count from credentials c join users u on u.id = c.user_id
        where c.user_id = any($1) and not u.active and c.revoked_at is null and c.expires_at > $2
        group by c.user_id order by c.user_id`,
      [ids, scope.asOf],
    ),
  );
  const open = new Map(rows.map((row) => [row.user_id, row.count]));
  return [...leavers].flatMap(([id, { entry }]) => {
    const left = open.get(uuidOrNull('usr', id) ?? '');
    return left === undefined
      ? []
      : [{ object: id, sentence: `${left} credentials were not revoked when her access ended`, seq: entry.seq }];
  });
}

async function countLive({ ctx, asOf }: CollectionScope): Promise<number> {
  const [row] = await inTenant(ctx, (tx) =>
    tx.query<{ count: string }>(
      `select count(*) as count from credentials
        where created_at <= $1 and expires_at > $1 and (revoked_at is null or revoked_at > $1)`,
      [asOf],
    ),
  );
  return Number(row?.count ?? 0);
}

async function countOf({ ctx }: CollectionScope, sql: string): Promise<number> {
  const [row] = await inTenant(ctx, (tx) => tx.query<{ count: string }>(sql));
  return Number(row?.count ?? 0);
}

function count(value: JsonValue | undefined): number | null {
  return typeof value === 'number' ? value : null;
}

function text(value: JsonValue | undefined): string | null {
  return typeof value === 'string' ? value : null;
}
