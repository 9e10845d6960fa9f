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

  with<Args extends unknown[], Work extends (...args: Args) => ReturnType<Work>>(
    entered: Context,
    work: Work,
    self?: ThisParameterType<Work>,
    ...args: Args
  ): ReturnType<Work> {
    const before = this.#active;
    this.#active = entered;
    try {
      return work.call(self as ThisParameterType<Work>, ...args);
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
