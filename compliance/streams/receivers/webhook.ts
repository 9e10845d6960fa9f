import { createHmac } from 'node:crypto';
import { StreamForm, webhookKey } from '#schema/audit-stream.ts';
import { postTo } from './http-answer.ts';
import { batchName, type Receiver } from './receiver.ts';

const isSuccess = (status: number): boolean => status >= 200 && status < 300;

/**
 * A webhook: a JSON array of the messages (of CloudEvents its batch format), signed by Standard Webhooks: `webhook-id`,
 * `webhook-timestamp` and `webhook-signature`, `v1,` and base64 of HMAC-SHA-256 over id, timestamp and body, joined by
 * dots. Every 2xx takes it.
 */
export const webhookReceiver: Receiver = {
  maxMessages: 200,
  maxBytes: 1_000_000,
  send: async (target, batch) => {
    const body = `[${batch.messages.map((message) => message.body).join(',')}]`;
    const id = batchName(batch);
    const timestamp = String(Math.floor(batch.now.getTime() / 1000));
    await postTo(target, new URL(target.endpoint), {
      headers: {
        'content-type':
          batch.form === StreamForm.CLOUDEVENTS ? 'application/cloudevents-batch+json' : 'application/json',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${signatureOf(target.secret, `${id}.${timestamp}.${body}`)}`,
      },
      body,
      isTaken: isSuccess,
    });
  },
};

function signatureOf(secret: string, text: string): string {
  const key = webhookKey(secret);
  if (key === null) throw new Error('the secret of a webhook was checked when it was stored');
  return createHmac('sha256', key).update(text).digest('base64');
}
