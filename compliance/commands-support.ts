import { UsageError, type Command, type CommandArguments, type CommandSurroundings } from '#kit/command.ts';
import { isObject } from '#schema/json-object.ts';
import { DOOR_OPTIONS, openDoor } from './operations-client.ts';

const TENANT = { tenant: { about: 'The tenant (tnt_...)', required: true } } as const;
const DOOR = {
  ...DOOR_OPTIONS,
  key: { about: 'Session token of an operator, or @FILE that holds it', required: true },
};
/** The most that one page holds. */
const PAGE_SIZE = 100;

const request: Command = {
  name: 'support request',
  about: 'Asks a tenant to let the operator in; her administrators get a mail.',
  options: {
    ...DOOR,
    ...TENANT,
    reason: { about: 'Why; her administrators read it', required: true },
    ticket: { about: 'What it is called where the request was made', required: true },
    minutes: { about: 'How long, 5 to 480, from the approval on', required: true },
    access: { about: 'read, or work to change projects and documents too; read where it is missing' },
    personal: { about: 'yes to see what is personal; it is masked where this is missing' },
  },
  run: async (surroundings, args) => {
    const { tenant, reason, ticket, minutes, access = 'read', personal } = args.options;
    if (access !== 'read' && access !== 'work') throw new UsageError('--access takes read or work');
    if (personal !== undefined && personal !== 'yes') throw new UsageError('--personal takes yes');
    if (!/^\d{1,3}$/.test(minutes ?? '')) throw new UsageError('--minutes takes 5 to 480');
    const payload = await send(args, 'RequestSupport', {
      input: {
        tenantId: tenant,
        reason,
        ticket,
        minutes: Number(minutes),
        access: access.toUpperCase(),
        personalData: personal === 'yes',
      },
    });
    return show(surroundings, payload['grant']);
  },
};

const list: Command = {
  name: 'support list',
  about: 'Lists the newest accesses to a tenant that were asked for or given.',
  options: { ...DOOR, ...TENANT },
  run: async (surroundings, args) => {
    const page = await send(args, 'TenantSupportGrants', { tenantId: args.options['tenant'], first: PAGE_SIZE });
    const edges: unknown[] = Array.isArray(page['edges']) ? page['edges'] : [];
    const grants = edges.map((edge) => (isObject(edge) ? edge['node'] : null));
    if (surroundings.json) surroundings.write(JSON.stringify(grants, null, 2));
    else for (const grant of grants) writeGrant(surroundings, grant);
    return 0;
  },
};

const open: Command = {
  name: 'support open',
  about: 'Prints a token for the tenant that let the operator in, good for half an hour at most.',
  options: { ...DOOR, ...TENANT, id: { about: 'The access (sup_...)', required: true } },
  run: async (surroundings, args) => {
    const { tenant, id } = args.options;
    const opened = await send(args, 'OpenSupportSession', { input: { tenantId: tenant, id } });
    if (surroundings.json) surroundings.write(JSON.stringify(opened, null, 2));
    else {
      surroundings.write(String(opened['token']));
      surroundings.write(`until ${String(opened['expiresAt'])}`);
    }
    return 0;
  },
};

const end: Command = {
  name: 'support end',
  about: 'Gives an access back before its time.',
  options: { ...DOOR, ...TENANT, id: { about: 'The access (sup_...)', required: true } },
  run: async (surroundings, args) => {
    const { tenant, id } = args.options;
    const payload = await send(args, 'EndSupport', { input: { tenantId: tenant, id } });
    return show(surroundings, payload['grant']);
  },
};

/** The commands of an operator who needs to be let into a tenant. */
export const supportCommands: readonly Command[] = [request, list, open, end];

async function send(
  args: CommandArguments,
  name: string,
  variables: Readonly<Record<string, unknown>>,
): Promise<Readonly<Record<string, unknown>>> {
  const ask = await openDoor(args);
  const [payload] = Object.values(await ask(name, variables));
  return isObject(payload) ? payload : {};
}

function show(surroundings: CommandSurroundings, grant: unknown): 0 {
  if (surroundings.json) surroundings.write(JSON.stringify(grant, null, 2));
  else writeGrant(surroundings, grant);
  return 0;
}

function writeGrant({ write }: CommandSurroundings, grant: unknown): void {
  if (!isObject(grant)) return;
  const { id, state, access, personalData, minutes, ticket, operator, expiresAt } = grant;
  const personal = personalData === true ? 'personal' : 'masked';
  write(
    [id, state, access, personal, `${String(minutes)} min`, ticket, operator, expiresAt ?? '-'].map(String).join('  '),
  );
}
