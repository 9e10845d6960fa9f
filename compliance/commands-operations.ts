import { UsageError, type Command, type CommandArguments, type CommandSurroundings } from '#kit/command.ts';
import { asTenonError, type ErrorCode } from '#schema/errors.ts';
import { isObject } from '#schema/json-object.ts';
import { MANIFEST_MAX_BYTES } from '#schema/operation-manifest.ts';
import { DOOR_OPTIONS, openDoor, readText, type Ask } from './operations-client.ts';
import { checkCommand } from './operations-check.ts';

const register: Command = {
  name: 'operations register',
  about: 'Registers the operations of a manifest for a client; they run once they are approved.',
  options: {
    ...DOOR_OPTIONS,
    client: { about: 'The client whose keys shall run them', required: true },
    manifest: { about: "File of Apollo's persisted query manifest or Relay's persisted queries", required: true },
    'expires-at': { about: 'When they stop running by themselves, such as 2027-01-01T00:00:00Z' },
  },
  run: async (surroundings, args) => {
    const { client, manifest: file = '' } = args.options;
    const manifest = await readText(file, MANIFEST_MAX_BYTES);
    const input = { client, manifest, expiresAt: timeOf(args, 'expires-at') };
    const payload = await ask(args, 'RegisterOperations', input).catch((error: unknown) =>
      verdictOf(surroundings, error),
    );
    if (payload === null) return 1;
    if (surroundings.json) writeJson(surroundings, payload);
    else {
      writeOperations(surroundings, payload['operations']);
      surroundings.write(
        `${String(payload['registered'])} registered; manifest ${String(payload['manifestFingerprint'])}`,
      );
    }
    return 0;
  },
};

/** What the platform refuses of a manifest is a verdict on it; anything else cannot say. */
const VERDICTS: ReadonlySet<ErrorCode> = new Set(['BAD_USER_INPUT', 'CONFLICT']);
/** The most that one page holds. */
const PAGE_SIZE = 100;

const CHOICE = {
  ...DOOR_OPTIONS,
  id: { about: 'A registered operation (opr_...)', repeatable: true },
  manifest: { about: 'Fingerprint of a manifest, for all that it registered last' },
} as const;

const approve: Command = {
  name: 'operations approve',
  about: 'Lets registered operations run.',
  options: CHOICE,
  run: async (surroundings, args) => {
    const payload = await ask(args, 'ApproveOperations', choiceOf(args));
    return show(surroundings, payload);
  },
};

const revoke: Command = {
  name: 'operations revoke',
  about: 'Ends registered operations, at once or at a time to come.',
  options: { ...CHOICE, at: { about: 'When, such as 2027-01-01T00:00:00Z; now where it is missing' } },
  run: async (surroundings, args) => {
    const at = timeOf(args, 'at');
    const payload =
      at === null
        ? await ask(args, 'RevokeOperations', choiceOf(args))
        : await ask(args, 'ScheduleRevocation', { ...choiceOf(args), at });
    return show(surroundings, payload);
  },
};

const list: Command = {
  name: 'operations list',
  about: "Lists the operations of the tenant's clients, newest first.",
  options: {
    ...DOOR_OPTIONS,
    client: { about: 'Those of one client' },
    state: { about: 'PENDING, APPROVED or REVOKED' },
  },
  run: async (surroundings, args) => {
    const send = await openDoor(args);
    const found: unknown[] = [];
    for await (const nodes of pages(send, args)) {
      if (surroundings.json) found.push(...nodes);
      else writeOperations(surroundings, nodes);
    }
    if (surroundings.json) writeJson(surroundings, found);
    return 0;
  },
};

/** The commands about registered operations. */
export const operationCommands: readonly Command[] = [register, approve, revoke, list, checkCommand];

async function ask(args: CommandArguments, name: string, input: object): Promise<Readonly<Record<string, unknown>>> {
  const data = await (await openDoor(args))(name, { input });
  const [payload] = Object.values(data);
  return isObject(payload) ? payload : {};
}

function verdictOf(surroundings: CommandSurroundings, thrown: unknown): null {
  const { code, message } = asTenonError(thrown);
  if (!VERDICTS.has(code)) throw thrown;
  if (surroundings.json) writeJson(surroundings, { error: { code, message } });
  else surroundings.write(message);
  return null;
}

async function* pages(send: Ask, { options }: CommandArguments): AsyncGenerator<readonly unknown[]> {
  const { client = null, state = null } = options;
  if (state !== null && !/^(?:PENDING|APPROVED|REVOKED)$/.test(state)) {
    throw new UsageError('--state takes PENDING, APPROVED or REVOKED');
  }
  let after: unknown = null;
  do {
    const data = await send('RegisteredOperations', { client, state, first: PAGE_SIZE, after });
    const page = isObject(data['registeredOperations']) ? data['registeredOperations'] : {};
    const edges: unknown[] = Array.isArray(page['edges']) ? page['edges'] : [];
    yield edges.map((edge) => (isObject(edge) ? edge['node'] : null));
    const info = isObject(page['pageInfo']) ? page['pageInfo'] : {};
    after = info['hasNextPage'] === true ? info['endCursor'] : null;
  } while (after !== null);
}

function choiceOf({ options, lists }: CommandArguments): object {
  const { manifest } = options;
  const ids = lists['id'];
  if ((ids === undefined) === (manifest === undefined)) throw new UsageError('give --id or --manifest, one of them');
  return ids === undefined ? { manifest } : { ids };
}

function timeOf({ options }: CommandArguments, name: string): string | null {
  const text = options[name];
  if (text === undefined) return null;
  if (!/^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/.test(text) || Number.isNaN(Date.parse(text))) {
    throw new UsageError(`--${name} takes a time with its zone, such as 2027-01-01T00:00:00Z`);
  }
  return text;
}

function show(surroundings: CommandSurroundings, payload: Readonly<Record<string, unknown>>): 0 {
  if (surroundings.json) writeJson(surroundings, payload['operations']);
  else writeOperations(surroundings, payload['operations']);
  return 0;
}

function writeOperations({ write }: CommandSurroundings, operations: unknown): void {
  for (const operation of Array.isArray(operations) ? operations : []) {
    if (!isObject(operation)) continue;
    const { id, state, client, name, documentId, maxCost } = operation;
    write([id, state, client, name ?? '-', documentId, `max ${String(maxCost)} points`].map(String).join('  '));
  }
}

function writeJson({ write }: CommandSurroundings, value: unknown): void {
  write(JSON.stringify(value, null, 2));
}
