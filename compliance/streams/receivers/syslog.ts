import { sendOutgoingBytes } from '#kit/outgoing-tcp.ts';
import type { AuditOutcome } from '#schema/audit-event.ts';
import { syslogAddress } from '#schema/audit-stream.ts';
import { unreachable } from './http-answer.ts';
import type { Receiver, StreamMessage, StreamTarget } from './receiver.ts';

const TIMEOUT_MS = 15_000;
/** "log audit" (RFC 5424 table 1). */
const FACILITY = 13;
/** Informational, warning and error (table 2). */
const SEVERITIES: Readonly<Record<AuditOutcome, number>> = { success: 6, denied: 4, failure: 3 };
/** Kept for documentation (RFC 5612); whoever has a number of her own sets it. */
const ENTERPRISE_NUMBER = 32_473;
const MAX_MSGID = 32;

/**
 * A syslog receiver: RFC 5424 messages with octet counting (RFC 6587 section 3.4.1, RFC 5425 section 4.3) over a connection
 * a batch. Syslog has no word for "taken": the batch counts when the receiver has read it to its end and closed the
 * connection without an error.
 */
export const syslogReceiver: Receiver = {
  maxMessages: 500,
  maxBytes: 2_000_000,
  send: async (target, { messages }) => {
    const address = syslogAddress(target.endpoint);
    if (address === null) throw new Error('the address of a syslog receiver was checked when it was stored');
    const { host, port, tls } = address;
    const bytes = Buffer.from(messages.map((message) => framed(syslogMessage(target, message))).join(''));
    const { certificate } = target.settings;
    await sendOutgoingBytes(target.platform, { host, port, tls, certificate, bytes, timeoutMs: TIMEOUT_MS }).catch(
      (thrown: unknown) => unreachable(thrown),
    );
  },
};

/**
 * Returns the RFC 5424 message of an entry: MSGID is the action, the structured data name tenant, log, number, action,
 * outcome and event, and MSG is the form with every character beyond ASCII escaped, so that no byte order mark is needed.
 */
export function syslogMessage({ deployment, settings }: StreamTarget, { streamed, body }: StreamMessage): string {
  const { event, seq, outcome } = streamed.entry;
  const data = {
    tenant: event.tenant_id,
    origin: streamed.origin,
    seq: String(seq),
    action: event.action,
    outcome,
    id: event.id,
    ...(streamed.isTest ? { test: 'true' } : {}),
  };
  const fields = Object.entries(data).map(([name, value]) => `${name}="${value.replaceAll(/["\\\]]/g, '\\$&')}"`);
  const name = `tenon@${settings.enterpriseNumber ?? ENTERPRISE_NUMBER}`;
  const priority = FACILITY * 8 + SEVERITIES[outcome];
  const head = `<${priority}>1 ${event.ts} ${deployment} tenon - ${event.action.slice(0, MAX_MSGID)}`;
  return `${head} [${name} ${fields.join(' ')}] ${ascii(body)}`;
}

/** All of it is ASCII, so characters are octets. */
function framed(message: string): string {
  return `${message.length} ${message}`;
}

/** Beyond ASCII a JSON text has characters in texts and names alone. */
function ascii(json: string): string {
  return json.replaceAll(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
