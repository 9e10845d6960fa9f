import type { AttributeValue, Attributes, SpanContext } from '@opentelemetry/api';
import type { ReadableSpan, TimedEvent } from '@opentelemetry/sdk-trace-base';
import { TRACER } from './server-span.ts';
import { TENANT_ATTRIBUTES } from './tenant-trace.ts';

/** What every span may say, whoever made it. */
const COMMON: readonly string[] = [...TENANT_ATTRIBUTES, 'error.type'];
const HTTP_ATTRIBUTES = ['http.request.method', 'http.response.status_code', 'http.route', 'url.scheme'] as const;
const PG = '@opentelemetry/instrumentation-pg';
const GRAPHQL = '@opentelemetry/instrumentation-graphql';

/** What the spans of a library may say besides; an attribute that is not listed does not leave the process. */
const KEPT: Readonly<Record<string, ReadonlySet<string>>> = {
  '@opentelemetry/instrumentation-http': kept(...HTTP_ATTRIBUTES, 'network.protocol.version'),
  [TRACER]: kept(...HTTP_ATTRIBUTES, 'graphql.operation.type', 'graphql.operation.name', 'service'),
  [PG]: kept('db.system.name', 'db.namespace', 'db.query.text', 'server.address', 'server.port'),
  [GRAPHQL]: kept('graphql.operation.type', 'graphql.operation.name'),
};
const KEPT_OF_OTHERS = kept();

/** The form in which the instrumentation of pg tells of an error, without the values that PostgreSQL quotes. */
const PG_ERROR = /^PostgreSQL error of type '\w{1,64}' occurred \(code: \w{1,32}\)$/;
const MAX_NAME_LENGTH = 128;

/**
 * Returns a span as it may leave the process: without addresses, query strings, documents, literals, variables and error
 * texts, all of which can hold personal data or a secret. What is left is known by name and shape.
 */
export function publicSpan(span: ReadableSpan): ReadableSpan {
  return {
    name: publicName(span),
    kind: span.kind,
    spanContext: () => withoutState(span.spanContext()),
    ...(span.parentSpanContext === undefined ? {} : { parentSpanContext: withoutState(span.parentSpanContext) }),
    startTime: span.startTime,
    endTime: span.endTime,
    status: { code: span.status.code },
    attributes: publicAttributes(span),
    links: [],
    events: span.events.filter(({ name }) => name === 'exception').map(publicException),
    duration: span.duration,
    ended: span.ended,
    resource: span.resource,
    instrumentationScope: span.instrumentationScope,
    droppedAttributesCount: span.droppedAttributesCount,
    droppedEventsCount: span.droppedEventsCount,
    droppedLinksCount: span.droppedLinksCount,
  };
}

/** True for the parsing and validating of schemas at the start of a process, which no request asked for. */
export function isSchemaSetUp(span: ReadableSpan): boolean {
  return span.parentSpanContext === undefined && span.instrumentationScope.name === GRAPHQL;
}

/** What a literal, a comment or a quoted name looks like in PostgreSQL; an unfinished literal reaches to the end. */
const SQL_PARTS =
  /"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\b[eE]'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)|'(?:[^']|'')*(?:'|$)|\$(\w*)\$[\s\S]*?(?:\$\1\$|$)|(?<![\w$.])\d[\w.]*/g;

/** Returns the text of a statement with every literal replaced by `?`; names and `$1` stay. */
export function withoutLiterals(sql: string): string {
  return sql.replaceAll(SQL_PARTS, (part) => {
    if (part.startsWith('"')) return part;
    return part.startsWith('--') || part.startsWith('/*') ? '' : '?';
  });
}

/** The `tracestate` is free text of whoever called. */
function withoutState({ traceId, spanId, traceFlags, isRemote = false }: SpanContext): SpanContext {
  return { traceId, spanId, traceFlags, isRemote };
}

function publicName({ name, instrumentationScope }: ReadableSpan): string {
  const text = instrumentationScope.name === PG ? withoutLiterals(name) : name;
  return text.slice(0, MAX_NAME_LENGTH);
}

function publicAttributes({ attributes, instrumentationScope }: ReadableSpan): Attributes {
  const keep = KEPT[instrumentationScope.name] ?? KEPT_OF_OTHERS;
  const entries = Object.entries(attributes).filter(([key]) => keep.has(key));
  return Object.fromEntries(entries.map(([key, value]) => [key, publicValue(key, value)]));
}

function publicValue(key: string, value: AttributeValue | undefined): AttributeValue | undefined {
  if (key === 'db.query.text') return withoutLiterals(String(value));
  // A caller chooses the name of an operation; only what GraphQL calls a name is one.
  if (key === 'graphql.operation.name') return /^\w{1,128}$/.test(String(value)) ? value : '?';
  return value;
}

function publicException({ name, time, attributes = {} }: TimedEvent): TimedEvent {
  const type = attributes['exception.type'];
  const message = attributes['exception.message'];
  return {
    name,
    time,
    attributes: {
      ...(type === undefined ? {} : { 'exception.type': type }),
      ...(PG_ERROR.test(String(message)) ? { 'exception.message': String(message) } : {}),
    },
  };
}

function kept(...keys: string[]): ReadonlySet<string> {
  return new Set([...COMMON, ...keys]);
}
