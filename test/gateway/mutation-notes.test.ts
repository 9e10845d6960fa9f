import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Kind, parse } from 'graphql';
import { mintId } from '#schema/ids.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { openHouse, type House } from '../support/house.ts';
import { withClient } from '../support/postgres.ts';
import { auditedFieldsOf, newMutationCounter } from '../../gateway/mutation-count.ts';
import { openMutationNotes } from '../../gateway/mutation-count-writer.ts';
import { openMutationJournal, type OwnedNote } from '../../gateway/mutation-journal.ts';
import { scopeOf } from '../isolation/two-tenants.ts';

let house: House;
let tenant: TenantContext;
let folder: string;
const folders: string[] = [];
const clock = () => new Date();
const LONG_AGO_S = Date.now() / 1000 - 120;

beforeAll(async () => {
  house = await openHouse();
  tenant = { ...scopeOf(house.platform.databases, house.acme.id as `tnt_${string}`).tenant, requestId: 'req_1' };
});
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-journal-'));
  folders.push(folder);
  await withClient(house.stores.url('eu-1'), (client) => client.query('truncate app.mutation_notes'));
});
afterAll(() => {
  for (const each of folders) rmSync(each, { recursive: true, force: true });
});

const ACTIONS = new Map([
  ['createProject', 'project.create'],
  ['createUser', 'user.create'],
]);
const fieldsOf = (source: string) => {
  const { definitions } = parse(source);
  const operation = definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  const fragments = definitions.filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION);
  if (operation === undefined) throw new Error('no operation');
  return auditedFieldsOf(operation, new Map(fragments.map((each) => [each.name.value, each])), ACTIONS);
};
const ONE = new Map([['createProject', 'project.create']]);
const note = (id: string = mintId('aud')): OwnedNote => ({
  id: '01a2083d-5036-7000-bf2c-446db8f822f8',
  tenant: house.acme.id,
  cell: 'eu-1',
  requestId: id,
  action: 'project.create',
  at: new Date(),
  isAnswered: false,
});
const letDie = () => {
  for (const name of readdirSync(folder)) utimesSync(join(folder, name), LONG_AGO_S, LONG_AGO_S);
};
async function stored(): Promise<{ action: string; answered: boolean }[]> {
  return withClient(house.stores.url('eu-1'), async (client) => {
    const { rows } = await client.query<{ action: string; answered: boolean }>(
      'select action, answered from app.mutation_notes order by id',
    );
    return rows;
  });
}

describe('the fields of a mutation that are audited', () => {
  it('are known by the name under which the answer holds them, wherever they stand', () => {
    const fields = fieldsOf(
      'mutation { a: createProject { id } ... on Mutation { createUser { id } } ...F other { id } } fragment F on Mutation { b: createProject { id } ...F }',
    );
    expect([...fields]).toEqual([
      ['a', 'project.create'],
      ['createUser', 'user.create'],
      ['b', 'project.create'],
    ]);
    expect(fieldsOf('query { createProject { id } }').size).toBe(0);
  });
});

describe('noting mutations', () => {
  it('notes what the answer holds, and nothing of an error', () => {
    const counter = newMutationCounter();
    const fields = new Map([...ONE, ['again', 'project.create'], ['createUser', 'user.create']]);
    counter.begin({ tenant, clock }, fields)({ createProject: {}, again: null });
    counter.begin({ tenant, clock }, ONE)(null);
    counter.begin({ tenant, clock }, new Map())({ createProject: {} });
    expect(counter.take('eu-1').flatMap(({ notes }) => notes)).toMatchObject([
      { action: 'project.create', requestId: 'req_1', isAnswered: true },
    ]);
    expect([counter.cells(), counter.waiting]).toEqual([[], 0]);
  });

  it('notes an answer once, however often it is told', () => {
    const counter = newMutationCounter();
    const done = counter.begin({ tenant, clock }, ONE);
    expect(counter.held().underWay).toHaveLength(1);
    done({ createProject: {} });
    done({ createProject: {} });
    expect(counter.held()).toMatchObject({ underWay: [], waiting: [{ tenant: tenant.tenant, cell: 'eu-1' }] });
    expect(counter.waiting).toBe(1);
  });

  it('counts those that it cannot hold, also where they come back, and says how many', () => {
    const counter = newMutationCounter({ most: 2 });
    for (let round = 0; round < 5; round += 1) counter.begin({ tenant, clock }, ONE)({ createProject: {} });
    const [taken] = counter.take('eu-1');
    expect(taken?.notes.map(({ action }) => action)).toEqual([
      'project.create',
      'project.create',
      'gateway.lose_notes',
    ]);
    expect(taken?.notes[2]?.requestId).toBe('3 req_1');
    for (let round = 0; round < 2; round += 1) counter.begin({ tenant, clock }, ONE)({ createProject: {} });
    if (taken !== undefined) counter.putBack(taken);
    expect(counter.take('eu-1')[0]?.notes.at(-1)?.requestId).toBe('5 req_1');
  });
});

describe('the journal of a gateway', () => {
  it('tells of a gateway that was killed what was answered, and what was under way', () => {
    const program = `import { openMutationJournal } from ${JSON.stringify(new URL('../../gateway/mutation-journal.ts', import.meta.url).href)};
      const journal = openMutationJournal(${JSON.stringify(folder)});
      const notes = ['a', 'b', 'c', 'd'].map((requestId, index) => ({ ...${JSON.stringify(note())}, at: new Date(), requestId,
        id: '01a2083d-5036-7000-bf2c-00000000000' + index }));
      journal.begin(notes);
      journal.end(notes.slice(0, 2), notes.slice(0, 1));
      journal.end(notes.slice(3), notes.slice(3));
      process.kill(process.pid, 'SIGKILL');`;
    const { signal } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program]);
    expect(signal).toBe('SIGKILL');
    const journal = openMutationJournal(folder);
    expect(journal.adopt(Date.now()).notes).toEqual([]);
    letDie();
    const adopted = journal.adopt(Date.now());
    expect(adopted.notes.map(({ requestId, isAnswered }) => [requestId, isAnswered])).toEqual([
      ['a', true],
      ['c', false],
      ['d', true],
    ]);
    adopted.forget();
    expect(readdirSync(folder)).toHaveLength(1);
    journal.close();
  });

  it('is taken over by one of several, and by the next one where that one ends before she has it', () => {
    const dead = openMutationJournal(folder);
    dead.begin([note()]);
    letDie();
    const [first, second] = [openMutationJournal(folder), openMutationJournal(folder)];
    expect([first.adopt(Date.now()).notes.length, second.adopt(Date.now()).notes.length]).toEqual([1, 0]);
    letDie();
    expect(second.adopt(Date.now()).notes.length).toBe(1);
  });

  it('is read as far as it goes where its end was cut off or is not ours', () => {
    const dead = openMutationJournal(folder);
    dead.begin([note()]);
    const [name = ''] = readdirSync(folder);
    appendFileSync(
      join(folder, name),
      '["answered"]\nnull\n{"a":1}\n["begun",1,2]\n["begun","x","tnt_x"]\n["answered","01a2',
    );
    letDie();
    expect(openMutationJournal(folder).adopt(Date.now()).notes).toHaveLength(1);
  });

  it('holds no more than what is under way and waits, once it was begun anew, and nothing of a person', () => {
    const journal = openMutationJournal(folder);
    for (let round = 0; round < 100; round += 1) journal.begin([note()]);
    journal.restart([note('req_under')], [note('req_waits')]);
    journal.end([], []);
    const text = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
    expect(text.join('').split('\n')).toHaveLength(4);
    expect(text.join('')).toContain('req_under');
  });

  it('that cannot be kept stops no request', () => {
    writeFileSync(join(folder, 'file'), '');
    const journal = openMutationJournal(join(folder, 'file', 'journal'));
    const counter = newMutationCounter({ journal });
    counter.begin({ tenant, clock }, ONE)({ createProject: {} });
    expect(counter.waiting).toBe(1);
    expect(journal.adopt(Date.now()).notes).toEqual([]);
  });
});

describe('storing notes', () => {
  it('stores what waits and what a killed gateway has left, once', async () => {
    const dead = openMutationJournal(folder);
    const lost = newMutationCounter({ journal: dead });
    lost.begin({ tenant, clock }, ONE)({ createProject: {} });
    lost.begin({ tenant, clock }, new Map([['createUser', 'user.create']]));
    letDie();
    const journal = openMutationJournal(folder);
    const counter = newMutationCounter({ journal });
    const notes = openMutationNotes({ databases: house.platform.databases, counter, journal });
    counter.begin({ tenant, clock }, ONE)({ createProject: {} });
    await notes.flush();
    await notes.flush();
    expect((await stored()).map(({ action, answered }) => [action, answered])).toEqual([
      ['project.create', true],
      ['user.create', false],
      ['project.create', true],
    ]);
    await notes.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('keeps what a cell that is away does not take, in memory and in the journal', async () => {
    const journal = openMutationJournal(folder);
    const counter = newMutationCounter({ journal });
    const notes = openMutationNotes({ databases: house.platform.databases, counter, journal });
    counter.begin({ tenant: { ...tenant, cell: 'away-1' }, clock }, ONE)({ createProject: {} });
    await notes.flush();
    expect(counter.waiting).toBe(1);
    letDie();
    expect(openMutationJournal(folder).adopt(Date.now()).notes).toMatchObject([{ cell: 'away-1', isAnswered: true }]);
    await notes.close();
  });

  it('drops those of a tenant whom her cell no longer knows', async () => {
    const journal = openMutationJournal(folder);
    const counter = newMutationCounter({ journal });
    const notes = openMutationNotes({ databases: house.platform.databases, counter, journal });
    counter.begin({ tenant: { ...tenant, tenant: mintId('tnt') }, clock }, ONE)({ createProject: {} });
    await notes.flush();
    expect(counter.waiting).toBe(0);
    expect(await stored()).toEqual([]);
    await notes.close();
  });
});
