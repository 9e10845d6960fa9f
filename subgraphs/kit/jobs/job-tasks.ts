import { EventEmitter } from 'node:events';
import type { TaskList, WorkerEvents } from 'graphile-worker';
import type { Id } from '#schema/ids.ts';
import type { Platform } from '#kit/request-context.ts';
import { attemptJob } from './attempt.ts';
import type { JobKind, Lane } from './job-kind.ts';
import type { Liveness } from './liveness.ts';

/** What the jobs of a lane are run with. */
export interface LaneWork {
  readonly platform: Platform;
  readonly kinds: readonly JobKind[];
  readonly lane: Lane;
  /** Aborted when the process ends and waits no longer. */
  readonly ending: AbortSignal;
}

/** Returns what runs the jobs of a lane; a job begins only once others can see that its process lives. */
export function jobTasks({ platform, kinds, lane, ending }: LaneWork, ready: Promise<string>): TaskList {
  const byName = new Map(kinds.map((kind) => [kind.name, kind]));
  const running = new Set<Id<'job'>>();
  return Object.fromEntries(
    kinds
      .filter((kind) => kind.lane === lane)
      .map(({ name }) => [
        name,
        async (payload: unknown) =>
          attemptJob({ platform, kinds: byName, running, runner: await ready, ending }, name, payload),
      ]),
  );
}

/** What takes jobs from a queue, as it shows itself. */
export interface Taker {
  readonly events: WorkerEvents;
  /** Its name, once the lock of that name is held. */
  readonly ready: Promise<string>;
  /** Lets it end what is under way and take nothing more. */
  readonly stop: () => void;
}

/** Returns the events by which a taker is seen, and what follows from them. */
export function newTaker(liveness: Liveness): Taker {
  const events: WorkerEvents = new EventEmitter();
  let end: () => Promise<unknown> = nothing;
  const ready = new Promise<string>((resolve, reject) => {
    events.once('pool:create', ({ workerPool }) => {
      end = async () => workerPool.gracefulShutdown('the process ends');
      liveness.hold(workerPool.id).then(() => resolve(workerPool.id), reject);
    });
  });
  // It ends by itself where nothing is left to take.
  events.once('pool:gracefulShutdown', () => (end = nothing));
  // Whoever waits for it gets the error too; where nobody does, the connection that is lost tells.
  ready.catch(ignore);
  return { events, ready, stop: () => void end().catch(ignore) };
}

async function nothing(): Promise<void> {}

function ignore(): void {}
