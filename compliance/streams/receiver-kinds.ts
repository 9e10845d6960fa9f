import { StreamKind } from '#schema/audit-stream.ts';
import { datadogReceiver } from './receivers/datadog.ts';
import type { Receiver } from './receivers/receiver.ts';
import { s3Receiver } from './s3-receiver.ts';
import { splunkReceiver } from './receivers/splunk.ts';
import { syslogReceiver } from './receivers/syslog.ts';
import { webhookReceiver } from './receivers/webhook.ts';

/** How each kind of receiver is spoken to. */
export const STREAM_RECEIVERS: Readonly<Record<StreamKind, Receiver>> = {
  [StreamKind.WEBHOOK]: webhookReceiver,
  [StreamKind.SPLUNK]: splunkReceiver,
  [StreamKind.DATADOG]: datadogReceiver,
  [StreamKind.S3]: s3Receiver,
  [StreamKind.SYSLOG]: syslogReceiver,
};
