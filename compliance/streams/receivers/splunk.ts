import { setTimeout as pause } from 'node:timers/promises';
import { uuidOf } from '#schema/ids.ts';
import { isObject } from '#schema/json-object.ts';
import { notTaken, postTo } from './http-answer.ts';
import type { Receiver, StreamBatch, StreamMessage, StreamTarget } from './receiver.ts';

const ACK_PAUSE_MS = 250;
const ACK_TIMEOUT_MS = 15_000;

const isOk = (status: number): boolean => status === 200;

/**
 * A Splunk HTTP Event Collector: one JSON event a message, and `code` 0 takes them. With `acknowledge`, which the token has to
 * be set up for as well, they are taken when the indexer says so.
 */
export const splunkReceiver: Receiver = {
  maxMessages: 500,
  maxBytes: 900_000,
  send: async (target, batch) => {
    const { acknowledge = false } = target.settings;
    const headers = {
      'content-type': 'application/json',
      authorization: `Splunk ${target.secret}`,
      ...(acknowledge ? { 'x-splunk-request-channel': uuidOf('str', batch.stream) } : {}),
    };
    const answer = await postTo(target, new URL('/services/collector/event', target.endpoint), {
      headers,
      body: batch.messages.map((message) => eventOf(target, batch, message)).join('\n'),
      isTaken: isOk,
    });
    const { code, ackId } = await objectIn(answer);
    if (code !== 0) notTaken(typeof code === 'number' ? `It answered with code ${code}.` : 'It is no event collector.');
    if (!acknowledge) return;
    if (typeof ackId !== 'number') notTaken('Its token does not acknowledge.');
    else await acknowledged(target, headers, ackId);
  },
};

function eventOf(
  { deployment, settings: { index, sourceType = 'tenon:audit' } }: StreamTarget,
  { tenant, form }: StreamBatch,
  { streamed, body }: StreamMessage,
): string {
  const { event, seq } = streamed.entry;
  const about = {
    time: Date.parse(event.ts) / 1000,
    host: deployment,
    source: streamed.origin,
    sourcetype: sourceType,
    ...(index === undefined ? {} : { index }),
    fields: { tenant, seq: String(seq), epoch: String(streamed.epoch), action: event.action, form },
  };
  return `${JSON.stringify(about).slice(0, -1)},"event":${body}}`;
}

async function acknowledged(
  target: StreamTarget,
  headers: Readonly<Record<string, string>>,
  ackId: number,
): Promise<void> {
  const url = new URL(`/services/collector/ack?channel=${headers['x-splunk-request-channel'] ?? ''}`, target.endpoint);
  for (const beganMs = performance.now(); performance.now() - beganMs < ACK_TIMEOUT_MS;) {
    const answer = await postTo(target, url, { headers, body: JSON.stringify({ acks: [ackId] }), isTaken: isOk });
    const { acks } = await objectIn(answer);
    if (isObject(acks) && acks[String(ackId)] === true) return;
    await pause(ACK_PAUSE_MS);
  }
  notTaken('It did not acknowledge in time.');
}

async function objectIn(answer: Response): Promise<Readonly<Record<string, unknown>>> {
  const value: unknown = await answer.json().catch(() => null);
  return isObject(value) ? value : {};
}
