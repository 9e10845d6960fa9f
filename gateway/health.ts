import type { FastifyInstance } from 'fastify';
import type { Platform } from '#kit/request-context.ts';
import { verifyRotation } from '#schema/key-rotation.ts';
import { encodeVerifierKey } from '#schema/signed-note.ts';
import type { ServiceLevels } from './service-levels/service-levels.ts';
import { statusPage } from './service-levels/status-page.ts';

/** What the doors for operators show. */
export interface HealthParts {
  readonly platform: Platform;
  readonly levels: ServiceLevels;
  readonly verifierKey: string;
  /** Statements of the rotations that have led to that key, oldest first. */
  readonly rotations?: readonly string[];
}

/** A readiness check may take this long; a store that answers later counts as away. */
const STORE_TIMEOUT_MS = 2_000;

/** Opens `/healthz`, `/readyz`, `/metrics`, `/status` and `/.well-known/tenon/keys`; `drain` turns readiness off. */
export function mountHealth(server: FastifyInstance, parts: HealthParts): { drain(): void } {
  let draining = false;
  server.get('/healthz', async (_req, reply) => reply.type('text/plain').send('ok\n'));
  server.get('/readyz', async (_req, reply) => {
    const away = draining ? ['draining'] : await storesAway(parts.platform);
    return reply.status(away.length === 0 ? 200 : 503).send({ ready: away.length === 0, away });
  });
  server.get('/metrics', async (_req, reply) =>
    reply.type('text/plain; version=0.0.4').send(await parts.levels.metrics.text()),
  );
  server.get('/status', async (req, reply) => {
    const status = await parts.levels.status();
    return (req.headers.accept ?? '').includes('text/html')
      ? reply.type('text/html; charset=utf-8').send(statusPage(status))
      : reply.send(status);
  });
  const keys = shownKeys(parts);
  server.get('/.well-known/tenon/keys', async (_req, reply) => reply.send(keys));
  return {
    drain: () => {
      draining = true;
    },
  };
}

/** The key that signs first, then those before it, and what leads from each to the next. */
function shownKeys({ verifierKey, rotations = [] }: HealthParts): object {
  const older = rotations.map(verifyRotation).map(({ oldKey, at }) => ({
    verifierKey: encodeVerifierKey(oldKey),
    algorithm: 'Ed25519',
    replacedAt: at.toISOString(),
  }));
  return { keys: [{ verifierKey, algorithm: 'Ed25519' }, ...older.toReversed()], rotations };
}

/** Names the stores that do not answer in time. */
async function storesAway({ databases }: Platform): Promise<string[]> {
  const checks = [
    { name: 'directory', ask: () => databases.directory.query('select 1') },
    ...databases.cells.flatMap(({ name }) => [
      { name, ask: () => databases.tenantSource(name).query('select 1') },
      { name: `${name} audit`, ask: () => databases.auditPool(name).query('select 1') },
    ]),
  ];
  const answers = await Promise.all(checks.map(async ({ name, ask }) => ((await answersInTime(ask)) ? null : name)));
  return answers.filter((name) => name !== null);
}

async function answersInTime(ask: () => Promise<unknown>): Promise<boolean> {
  const timeout = AbortSignal.timeout(STORE_TIMEOUT_MS);
  const late = new Promise<boolean>((resolve) => {
    timeout.addEventListener('abort', () => resolve(false), { once: true });
  });
  return Promise.race([
    ask().then(
      () => true,
      () => false,
    ),
    late,
  ]);
}
