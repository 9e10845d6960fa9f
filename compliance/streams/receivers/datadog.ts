import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { postTo } from './http-answer.ts';
import type { Receiver, StreamMessage, StreamTarget } from './receiver.ts';

const compress = promisify(gzip);

const isAccepted = (status: number): boolean => status === 202 || status === 200;

/**
 * The logs intake of Datadog (v2), which takes 1,000 logs and 5 MB a request, 1 MB each. `message` is the JSON of the
 * form, which Datadog takes apart; it carries no date of its own there, for the intake drops what is older than 18 hours.
 */
export const datadogReceiver: Receiver = {
  maxMessages: 1_000,
  // Quotes are escaped once more within `message`.
  maxBytes: 2_400_000,
  send: async (target, { messages }) => {
    const body = await compress(`[${messages.map((message) => logOf(target, message)).join(',')}]`);
    await postTo(target, new URL('/api/v2/logs', target.endpoint), {
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip', 'dd-api-key': target.secret },
      body,
      isTaken: isAccepted,
    });
  },
};

function logOf(
  { deployment, settings: { service = 'tenon', tags } }: StreamTarget,
  { streamed, body }: StreamMessage,
): string {
  const { event } = streamed.entry;
  const own = `tenant:${event.tenant_id},action:${event.action}`;
  return JSON.stringify({
    ddsource: 'tenon',
    ddtags: tags === undefined ? own : `${own},${tags}`,
    hostname: deployment,
    service,
    message: body,
  });
}
