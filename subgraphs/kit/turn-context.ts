import { ROOT_CONTEXT, type Context, type ContextManager } from '@opentelemetry/api';

/**
 * Keeps the context of telemetry for the turn it was entered in, and no longer. That is enough for a process that hands
 * its spans on by hand, and it spares every promise of the process the bookkeeping that following them costs.
 */
export class TurnContext implements ContextManager {
  #active: Context = ROOT_CONTEXT;

  active(): Context {
    return this.#active;
  }

  with<Work extends (...args: never[]) => unknown>(
    entered: Context,
    work: Work,
    ...call: readonly unknown[]
  ): ReturnType<Work> {
    const before = this.#active;
    this.#active = entered;
    try {
      return Reflect.apply(work, call[0], call.slice(1)) as ReturnType<Work>;
    } finally {
      this.#active = before;
    }
  }

  bind<Target>(_context: Context, target: Target): Target {
    return target;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    return this;
  }
}
