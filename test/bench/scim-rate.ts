import { setTimeout as pause } from 'node:timers/promises';

/** One SCIM request. */
export interface ScimCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below the address of the service. */
  readonly path: string;
  readonly body?: object;
}

/** Sends a request and returns the body of its answer; a refusal throws. */
export type SendScim = (call: ScimCall) => Promise<string>;

/**
 * Sends requests at fixed times, whether the answer before has come or not, and returns how long each took from the time
 * it was due: what waits is in the figure.
 */
export async function sendAtRate(
  send: SendScim,
  callAt: (index: number) => ScimCall,
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
): Promise<number[]> {
  const started = performance.now();
  const latenciesMs: number[] = [];
  const sent: Promise<void>[] = [];
  for (let index = 0; index < perSecond * seconds; index++) {
    const due = started + (index * 1000) / perSecond;
    const early = due - performance.now();
    if (early > 0) await pause(early);
    sent.push(send(callAt(index)).then(() => void latenciesMs.push(performance.now() - due)));
  }
  await Promise.all(sent);
  return latenciesMs;
}
