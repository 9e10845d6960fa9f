import { describe, expect, it } from 'vitest';
import { readArguments, UsageError } from '#kit/command.ts';
import { tenants } from '../../../subgraphs/tenants/index.ts';
import { ensureOperatorTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { openTenants } from './tenants-platform.ts';

const house = await openTenants();

async function run(name: string, argv: readonly string[], json = false): Promise<{ code: number; lines: string[] }> {
  const command = tenants.commands?.find((known) => known.name === name);
  if (command === undefined) throw new Error(`no command ${name}`);
  const lines: string[] = [];
  const surroundings = {
    platform: () => Promise.resolve(house.platform),
    write: (line: string) => void lines.push(line),
    json,
  };
  return { code: await command.run(surroundings, readArguments(command, argv)), lines };
}

const CREATE = ['--name', 'Initech', '--tier', 'FREE', '--region', 'us', '--admin-email', 'bill@initech.example'];

describe('tenon tenant', () => {
  it('create makes a tenant and prints the link of her first administrator', async () => {
    const { code, lines } = await run('tenant create', ['initech', ...CREATE]);
    expect(code).toBe(0);
    expect(lines[0]).toMatch(/^initech is tnt_\w{26} in cell us-1 \(us\), active\.$/);
    expect(lines[1]).toMatch(/http:\/\/tenon\.test\/sso\/link\?token=tnl_/);
    const [user] = await house.peek<{ display_name: string }>('us-1', 'select display_name from users');
    expect(user?.display_name).toBe('bill@initech.example');
  });

  it('create refuses what it cannot use before it writes', async () => {
    await expect(run('tenant create', ['umbrella', ...CREATE.with(3, 'GOLD')])).rejects.toThrow(UsageError);
    await expect(run('tenant create', ['umbrella', ...CREATE.slice(2)])).rejects.toThrow('--name is missing');
    await expect(run('tenant create', ['Umbrella', ...CREATE])).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
    await expect(run('tenant create', ['initech', ...CREATE])).rejects.toMatchObject({ code: 'UNIQUENESS' });
  });

  it('list and show tell what is there, as sentences or as JSON', async () => {
    await ensureOperatorTenant(house.platform);
    const { lines } = await run('tenant list', []);
    expect(lines.map((line) => line.split('  ').slice(1))).toEqual([
      ['platform', 'ENTERPRISE', 'eu', 'eu-1', 'pool', 'active'],
      ['initech', 'FREE', 'us', 'us-1', 'pool', 'active'],
    ]);
    const listed = JSON.parse((await run('tenant list', [], true)).lines.join('\n')) as { slug: string }[];
    expect(listed.map(({ slug }) => slug)).toEqual(['platform', 'initech']);
    const shown = JSON.parse((await run('tenant show', ['initech'], true)).lines.join('\n')) as object;
    expect(shown).toMatchObject({ slug: 'initech', name: 'Initech', cell: 'us-1', state: 'active' });
    expect((await run('tenant show', ['initech'])).lines).toContain('name         Initech');
    await expect(run('tenant show', ['nobody'])).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('show tells of a creation that broke off', async () => {
    await house.peek(
      'directory',
      `insert into tenants (id, slug, region, cell, tier, state) values (gen_random_uuid(), 'half', 'eu', 'eu-1', 'FREE', 'provisioning')`,
    );
    const { lines } = await run('tenant show', ['half']);
    expect(lines).toContain('state        provisioning');
    expect(lines).toContain('name         not finished; ask for her again to finish it');
  });
});
