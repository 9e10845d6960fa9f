import type { OutgoingSettings } from '#kit/outgoing-http.ts';
import type { StreamForm, StreamSettings } from '#schema/audit-stream.ts';
import type { Id } from '#schema/ids.ts';
import type { StreamedEntry } from '../forms/streamed-entry.ts';

/** Entries on their way, with the text of each. */
export interface StreamMessage {
  readonly streamed: StreamedEntry;
  /** The entry in the form of the stream, one JSON text. */
  readonly body: string;
}

/** What is sent at once: one message or more, in the order of the log. */
export interface StreamBatch {
  readonly stream: Id<'str'>;
  readonly tenant: Id<'tnt'>;
  readonly form: StreamForm;
  readonly messages: readonly StreamMessage[];
  readonly now: Date;
}

/** Where to, and with what. */
export interface StreamTarget {
  readonly platform: OutgoingSettings;
  /** The name of this deployment. */
  readonly deployment: string;
  readonly endpoint: string;
  readonly settings: StreamSettings;
  /** Empty for a receiver that has none. */
  readonly secret: string;
}

/** One kind of receiver. */
export interface Receiver {
  /** The most that one batch holds; a single message may be longer than the bytes. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  /**
   * Sends a batch and resolves when the receiver has taken it whole. What it does not take throws a TenonError, whose
   * hint says why to whoever set the stream up; it holds nothing of what the receiver said but its status.
   */
  readonly send: (target: StreamTarget, batch: StreamBatch) => Promise<void>;
}

/** Returns the name of a batch: the same where it is sent again, and another where it holds one entry more. */
export function batchName({ stream, messages, now }: StreamBatch): string {
  const [first, last] = [messages[0]?.streamed, messages.at(-1)?.streamed];
  if (first === undefined || last === undefined) throw new Error('a batch holds a message');
  if (first.isTest) return `${stream}-test-${now.getTime()}`;
  return `${stream}-${placeName(first)}-${placeName(last)}`;
}

/** Returns the place of an entry as a text that sorts like the log. */
export function placeName({ epoch, entry: { seq } }: StreamedEntry): string {
  return `${String(epoch).padStart(4, '0')}.${String(seq).padStart(16, '0')}`;
}
