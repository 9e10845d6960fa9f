import { many, request } from './hostile-request.ts';
import type { HostileRequest } from './hostile-request.ts';

/** Values as large as their notation allows. */
export function literals(): HostileRequest[] {
  return [
    request('a string of 90,000 characters', `{ user(id: "${'a'.repeat(90_000)}") { id } }`, 'answered'),
    request('a string of 900,000 characters', `{ user(id: "${'a'.repeat(900_000)}") { id } }`, 'MAX_DOCUMENT_LIMIT'),
    request('15,000 escapes', `{ user(id: "${String.raw`\u0041`.repeat(15_000)}") { id } }`, 'answered'),
    request('a block string of 24,000 lines', `{ user(id: """${'\n  a'.repeat(24_000)}""") { id } }`, 'answered'),
    request('a block string of quotes', `{ user(id: """${String.raw`\"""`.repeat(20_000)}""") { id } }`, 'answered'),
    request(
      'a whole number of 90,000 digits',
      `{ users(first: ${'9'.repeat(90_000)}) { __typename } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      'a float of 90,000 digits',
      `{ users(first: 0.${'9'.repeat(90_000)}e9) { __typename } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      'an exponent of 90,000 digits',
      `{ users(first: 1e${'9'.repeat(90_000)}) { __typename } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request('a list of 4,000 values', `{ users(first: [${'1 '.repeat(4_000)}]) { __typename } }`, 'MAX_LITERALS_LIMIT'),
    request(
      'a list of 900 wrong values',
      `{ users(first: [${'"x" '.repeat(900)}]) { __typename } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      'an object of 2,000 unknown fields',
      `{ auditEvents(filter: { ${many(2_000, (i) => `a${i}: 1`)} }) { __typename } }`,
      'MAX_LITERALS_LIMIT',
    ),
    request(
      'an object of 900 unknown fields with a guess each',
      `{ auditEvents(filter: { ${many(900, (i) => `actoin${i}: 1`)} }) { __typename } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      'an object of 900 equal fields',
      `{ auditEvents(filter: { ${'action: "x" '.repeat(900)} }) { __typename } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      'prototype keys in an object',
      '{ auditEvents(filter: { __proto__: { action: "x" }, constructor: 1 }) { __typename } }',
      'GRAPHQL_VALIDATION_FAILED',
    ),
  ];
}

/** What is no token, or looks like another one. */
export function texts(): HostileRequest[] {
  return [
    request('450,000 comments', `${'#\n'.repeat(450_000)}{ __typename }`, 'MAX_DOCUMENT_LIMIT'),
    request('45,000 comments', `${'#\n'.repeat(45_000)}{ __typename }`, 'answered'),
    request('one comment of 90,000 characters', `#${'x'.repeat(90_000)}\n{ __typename }`, 'answered'),
    request('900,000 commas', `${','.repeat(900_000)}{ __typename }`, 'MAX_DOCUMENT_LIMIT'),
    request('90,000 commas', `{ __typename ${','.repeat(90_000)} }`, 'answered'),
    request('45,000 line ends of two characters', `${'\r\n'.repeat(45_000)}{ __typename }`, 'answered'),
    request('a syntax error after 45,000 lines', `${'\r\n'.repeat(45_000)}{ ? }`, 'GRAPHQL_PARSE_FAILED'),
    request('an unknown name of 90,000 characters', `{ ${'a'.repeat(90_000)} }`, 'GRAPHQL_VALIDATION_FAILED'),
    request(
      '900 unknown names of 100 characters',
      `{ viewer { ${many(900, (i) => 'userName'.repeat(12) + i)} } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request('an operation name of 90,000 characters', `query ${'a'.repeat(90_000)} { __typename }`, 'MAX_NAME_LIMIT'),
    request('half a surrogate pair', '{ user(id: "\uD800") { id } }', 'GRAPHQL_PARSE_FAILED'),
    request('an escaped half of a surrogate pair', String.raw`{ user(id: "\uD800") { id } }`, 'GRAPHQL_PARSE_FAILED'),
    request('an escape beyond Unicode', String.raw`{ user(id: "\u{FFFFFFFFFF}") { id } }`, 'GRAPHQL_PARSE_FAILED'),
    request('a byte order mark in the middle', '{ \uFEFF__typename \uFEFF}', 'answered'),
    request('right-to-left marks in a name', '{ user\u202E { id } }', 'GRAPHQL_PARSE_FAILED'),
    request('a zero-width space in a name', '{ us\u200Ber(id: "x") { id } }', 'GRAPHQL_PARSE_FAILED'),
    request('right-to-left marks in a string', '{ user(id: "\u202Ex\u200B") { id } }', 'answered'),
    request('letters that look like others', '{ us\u0435r(id: "x") { id } }', 'GRAPHQL_PARSE_FAILED'),
    request('a NUL', '{ __typename \u0000 }', 'GRAPHQL_PARSE_FAILED'),
    request('nothing', '', 'GRAPHQL_PARSE_FAILED'),
    request('90,000 spaces', ' '.repeat(90_000), 'GRAPHQL_PARSE_FAILED'),
    request('a string that never ends', `{ user(id: "${'a'.repeat(90_000)}`, 'GRAPHQL_PARSE_FAILED'),
    request('a block string that never ends', `{ user(id: """${'\n'.repeat(90_000)}`, 'GRAPHQL_PARSE_FAILED'),
    request(
      'a schema instead of an operation',
      many(90, (i) => `type T${i} { a: Int }`),
      'GRAPHQL_VALIDATION_FAILED',
    ),
  ];
}
