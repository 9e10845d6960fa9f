import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readConfig } from '#schema/config.ts';
import { subgraphs } from '#subgraphs';

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

const services = servicesOf(fileURLToPath(new URL('../../docker-compose.yml', import.meta.url)));
if (services === null)
  process.stderr.write('SKIPPED: docker-compose.yml is not checked, for there is no docker with compose here\n');

function servicesOf(file: string): Readonly<Record<string, Service>> | null {
  try {
    execFileSync('docker', ['compose', 'version'], { stdio: 'ignore' });
  } catch {
    return null;
  }
  const text = execFileSync('docker', ['compose', '-f', file, 'config', '--format', 'json'], { encoding: 'utf8' });
  return (JSON.parse(text) as { services: Record<string, Service> }).services;
}

describe.skipIf(services === null)('docker-compose.yml', () => {
  const all = Object.entries(services ?? {});
  const own = all.filter(([, { environment }]) => environment?.['TENON_PROFILE'] === 'production');
  const commandOf = (name: string) => services?.[name]?.command?.join(' ') ?? '';

  it('runs two gateways, every subgraph apart, a worker, PostgreSQL, Valkey, S3 with object lock and a collector', () => {
    const images = all.map(([, { image }]) => image?.replace(/:.*/, ''));
    for (const image of ['postgres', 'valkey/valkey', 'minio/minio', 'otel/opentelemetry-collector'])
      expect(images).toContain(image);
    expect(own.filter(([, { environment }]) => environment?.['SUBGRAPHS'] !== undefined)).toHaveLength(2);
    for (const { name } of subgraphs) expect(commandOf(name)).toMatch(new RegExp(`subgraphs/main\\.ts ${name}$`));
    expect(commandOf('worker')).toContain('compliance/main.ts');
    expect(commandOf('buckets')).toContain('--with-lock');
  });

  it('gives every process settings that it can use, the same cells, and an address of each subgraph', () => {
    expect(own.length).toBeGreaterThan(7);
    const places = new Set<string>();
    for (const [name, { environment = {} }] of own) {
      const config = readConfig(environment);
      places.add(JSON.stringify(config.cells?.map((cell) => [cell.name, cell.region, cell.archive])));
      const role = new URL(config.databaseUrl ?? '').username;
      expect(role, name).toBe({ worker: 'tenon_worker', migrate: 'tenon_owner' }[name] ?? 'tenon_app');
      if (name.startsWith('gateway'))
        expect(config.subgraphs).toEqual(
          Object.fromEntries(subgraphs.map((each) => [each.name, `http://${each.name}:4000`])),
        );
    }
    expect(places.size).toBe(1);
  });

  it('has room for the connections of all of them', () => {
    const [, most = ''] = /max_connections=(\d+)/.exec(commandOf('postgres')) ?? [];
    // Gateways and subgraphs: 16 and 4 a cell, 4 to the directory, and what listens.
    const apps = own.filter(([, { environment = {} }]) => environment['DATABASE_URL']?.includes('tenon_app')).length;
    expect(Number(most)).toBeGreaterThan(apps * (2 * 20 + 4 + 3) + 2 * 65);
  });
});
