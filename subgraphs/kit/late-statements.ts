import { sendTogether } from './transaction-ends.ts';
import type pg from 'pg';

/** Yields the values of a statement when it is to be sent. */
export type LateValues = () => readonly unknown[] | Promise<readonly unknown[]>;

/** Statements of one transaction whose rows nobody needs; they leave in their order. */
export interface LateStatements {
  add(text: string, values: LateValues): void;
  /** To be called when a statement was said that somebody waits for: what is here follows it as soon as it has left. */
  follow(): void;
  /** Resolves when nothing is left to be sent; fails where a statement's values cannot be had. */
  sent(): Promise<void>;
  /** Resolves when all of them have been carried out; fails with the first that failed. */
  answered(): Promise<unknown>;
}

/**
 * Returns a place where statements wait for a moment in which they cost nobody time: while the database works on another
 * that somebody waits for, their values are worked out, and while that one's answer is read the database works on them.
 * Where no other comes they leave with the commit.
 */
export function newLateStatements(
  client: pg.PoolClient,
  send: (text: string, values: readonly unknown[]) => Promise<unknown>,
): LateStatements {
  const waiting: { readonly text: string; readonly values: LateValues }[] = [];
  const answers: Promise<unknown>[] = [];
  let sending: Promise<void> = Promise.resolve();
  const sendAll = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const values = await next.values();
      sendTogether(client);
      const answer = send(next.text, values);
      answer.catch(ignore);
      answers.push(answer);
    }
  };
  const sent = (): Promise<void> => {
    sending = sending.then(sendAll);
    sending.catch(ignore);
    return sending;
  };
  return {
    add: (text, values) => void waiting.push({ text, values }),
    follow: () => {
      // What was said in this turn is uncorked in ticks that were asked for before.
      if (waiting.length > 0) process.nextTick(() => void sent().catch(ignore));
    },
    sent,
    answered: () => Promise.all(answers),
  };
}

function ignore(): void {}
