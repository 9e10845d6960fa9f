import { many, request } from './hostile-request.ts';
import type { HostileRequest } from './hostile-request.ts';
import { literals, texts } from './hostile-texts.ts';

/** Every request of the corpus, against the platform's own supergraph. */
export function hostileRequests(): readonly HostileRequest[] {
  return [
    ...deep(),
    ...wide(),
    ...fragments(),
    ...overlaps(),
    ...directives(),
    ...literals(),
    ...texts(),
    ...introspection(),
    ...inputs(),
    ...costly(),
  ];
}

function deep(): HostileRequest[] {
  const levels = (count: number): string => nested(count, 'groups { members { edges { node', '} } }');
  return [
    request('fields 16 deep', `{ users { edges { node { ${levels(4)} } } } }`, 'MAX_DEPTH_LIMIT'),
    request('fields 190 deep', `{ ${'a { '.repeat(188)} b ${'} '.repeat(188)} }`, 'MAX_DEPTH_LIMIT'),
    request('fields 4,000 deep', `{ ${'a{'.repeat(4_000)}b${'}'.repeat(4_000)} }`, 'MAX_DEPTH_LIMIT'),
    request('braces that never close', '{a'.repeat(40_000), 'MAX_DEPTH_LIMIT'),
    request(
      'inline fragments 4,000 deep',
      `{ ${'...{'.repeat(3_000)}__typename${'}'.repeat(3_000)} }`,
      'MAX_DEPTH_LIMIT',
    ),
    request('inline fragments 150 deep', `{ ${'...{'.repeat(150)}__typename${'}'.repeat(150)} }`, 'answered'),
    request(
      'lists 4,000 deep',
      `{ users(first: ${'['.repeat(4_000)}${']'.repeat(4_000)}) { __typename } }`,
      'MAX_DEPTH_LIMIT',
    ),
    request(
      'objects 4,000 deep',
      `{ users(first: ${'{a:'.repeat(3_000)}1${'}'.repeat(3_000)}) { __typename } }`,
      'MAX_DEPTH_LIMIT',
    ),
    request(
      'a type wrapped 4,000 times',
      `query($a: ${'['.repeat(4_000)}Int${']'.repeat(4_000)}) { __typename }`,
      'MAX_DEPTH_LIMIT',
    ),
    request(
      'a type wrapped 150 times',
      `query($a: ${'['.repeat(150)}Int${']'.repeat(150)}) { user(id: $a) { id } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      'default values 150 deep',
      `query($a: [Int] = ${'['.repeat(150)}${']'.repeat(150)}) { __typename @skip(if: $a) }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
  ];
}

function wide(): HostileRequest[] {
  return [
    request('51 aliases of one field', `{ viewer { ${many(51, (i) => `a${i}: __typename`)} } }`, 'MAX_ALIASES_LIMIT'),
    request(
      '1,600 aliases of the dearest field',
      `{ ${many(1_600, (i) => `a${i}: users(first: 100) { __typename }`)} }`,
      'MAX_TOKENS_LIMIT',
    ),
    request(
      '800 aliases of the dearest field',
      `{ ${many(800, (i) => `a${i}: users(first: 100) { __typename }`)} }`,
      'MAX_ROOT_FIELDS_LIMIT',
    ),
    request('21 root fields', `{ ${many(21, () => '__typename')} }`, 'MAX_ROOT_FIELDS_LIMIT'),
    request('10,000 times one field', `{ viewer { ${'id '.repeat(10_000)} } }`, 'MAX_TOKENS_LIMIT'),
    request('5,000 times one field', `{ viewer { ${'id '.repeat(5_000)} } }`, 'MAX_FIELDS_LIMIT'),
    request('1,900 times one field', `{ viewer { ${'__typename '.repeat(1_900)} } }`, 'MAX_OVERLAPS_LIMIT'),
    request(
      '1,600 operations',
      many(1_600, (i) => `query Q${i} { __typename }`),
      'MAX_DEFINITIONS_LIMIT',
    ),
    request('100 operations of one name', 'query Q { __typename } '.repeat(100), 'GRAPHQL_VALIDATION_FAILED'),
    request(
      '1,000 declared variables',
      `query(${many(1_000, (i) => `$v${i}: Int`)}) { __typename }`,
      'MAX_VARIABLES_LIMIT',
    ),
    request(
      '100 variables of one name',
      `query(${'$v: Int '.repeat(100)}) { __typename }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      '100 unused variables',
      `query(${many(100, (i) => `$v${i}: Int`)}) { __typename }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      '1,900 unknown fields with a guess each',
      `{ viewer { ${many(1_900, (i) => `usre${i}`)} } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      '900 unknown arguments',
      `{ users(${many(900, (i) => `frist${i}: 1`)}) { __typename } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
  ];
}

function fragments(): HostileRequest[] {
  const spread = (count: number, body: (i: number) => string): string =>
    many(count, (i) => `fragment F${i} on Query { ${body(i)} }`);
  return [
    request('a fragment of itself', '{ ...F } fragment F on Query { ...F }', 'GRAPHQL_VALIDATION_FAILED'),
    request(
      'a cycle of 90 fragments',
      `{ ...F0 } ${spread(90, (i) => `...F${(i + 1) % 90}`)}`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      'a cycle through fields',
      '{ viewer { ...F } } fragment F on Viewer { a: id viewer { ...F } b: viewer { ...F } }',
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      'a cycle nothing spreads',
      '{ __typename } fragment F on Query { a { ...F } b { ...F } }',
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      '45 fragments that all spread all',
      `{ ...F0 } ${spread(45, () => many(45, (j) => `...F${j}`))}`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      '2^60 paths of spreads to a field',
      `{ ...F0 } ${spread(60, (i) => `...F${i + 1} ...F${i + 1}`)} fragment F60 on Query { __typename }`,
      'MAX_ROOT_FIELDS_LIMIT',
    ),
    request(
      '2^30 places of one field',
      `{ users { edges { node { ...U0 } } } } ${many(30, (i) => `fragment U${i} on User { groups { ...G${i} } roles { ...R${i} } } fragment G${i} on Group { a: id ...H${i} b: id ...H${i} } fragment H${i} on Group { members { edges { node { ...U${i + 1} } } } }`)} fragment U30 on User { id }`,
      'MAX_DEPTH_LIMIT',
    ),
    request(
      '2^11 fields by fragments that spread twice',
      `{ viewer { ...V0 } } ${many(11, (i) => `fragment V${i} on Viewer { ...V${i + 1} ...V${i + 1} }`)} fragment V11 on Viewer { __typename }`,
      'MAX_FIELDS_LIMIT',
    ),
    request(
      'a fan of 60 fragments, each spreading all after it',
      `{ ...F0 } ${spread(60, (i) => `${many(59 - i, (j) => `...F${i + 1 + j}`)} __typename`)}`,
      'MAX_ROOT_FIELDS_LIMIT',
    ),
    request(
      '99 fragments nothing spreads',
      `{ __typename } ${spread(99, () => '__typename')}`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      '99 big fragments nothing spreads',
      `{ __typename } ${spread(99, () => '__typename '.repeat(60))}`,
      'MAX_FIELDS_LIMIT',
    ),
    request('1,000 fragments nothing spreads', `{ __typename } ${spread(1_000, () => 'a')}`, 'MAX_DEFINITIONS_LIMIT'),
    request(
      'a chain of 99 fragments',
      `{ ...F0 } ${spread(98, (i) => `...F${i + 1}`)} fragment F98 on Query { __typename }`,
      'answered',
    ),
    request('1,500 spreads of nothing', `{ ${'...Nowhere '.repeat(1_500)} }`, 'GRAPHQL_VALIDATION_FAILED'),
    request(
      '99 fragments of one name',
      `{ ...F } ${'fragment F on Query { __typename } '.repeat(99)}`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
  ];
}

function overlaps(): HostileRequest[] {
  const page = 'users(first: 1, after: "x") { edges { node { id } } }';
  const inner = 'edges { node { id userName } } ';
  return [
    request('one place selected 500 times', `{ viewer { user { ${'id '.repeat(500)} } } }`, 'MAX_OVERLAPS_LIMIT'),
    request(
      '20 equal pages of 90 equal fields',
      `{ ${`users { edges { node { ${'id '.repeat(90)} } } } `.repeat(20)} }`,
      'MAX_OVERLAPS_LIMIT',
    ),
    request(
      '20 pages with arguments, 20 levels of pairs each',
      `{ ${`users(first: 1, after: "x") { ${inner.repeat(20)} } `.repeat(20)} }`,
      'MAX_OVERLAPS_LIMIT',
    ),
    request(
      '90 fragments with one page each',
      `{ ${many(90, (i) => `...F${i}`)} } ${many(90, (i) => `fragment F${i} on Query { ${page} }`)}`,
      'MAX_ROOT_FIELDS_LIMIT',
    ),
    request(
      '90 fragments with one field each, deep down',
      `{ users { edges { node { ${many(90, (i) => `...F${i}`)} } } } } ${many(90, (i) => `fragment F${i} on User { groups { members { edges { node { id } } } } }`)}`,
      'MAX_OVERLAPS_LIMIT',
    ),
    request(
      'two fragments of 900 equal fields',
      `{ viewer { ...A ...B } } fragment A on Viewer { ${'__typename '.repeat(900)} } fragment B on Viewer { ${'__typename '.repeat(900)} }`,
      'MAX_OVERLAPS_LIMIT',
    ),
    request('20 equal pages', `{ ${`${page} `.repeat(20)} }`, 'answered'),
    request(
      '20 pages that differ',
      `{ ${many(20, (i) => `users(first: ${i}) { edges { node { id } } }`)} }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      '20 pages that differ in a list of 40 values',
      `{ ${many(20, (i) => `users(first: [${many(40, (j) => String(i + j))}]) { __typename }`)} }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
  ];
}

function directives(): HostileRequest[] {
  return [
    request('1,500 directives at a field', `{ __typename ${'@skip(if: false) '.repeat(1_500)} }`, 'MAX_TOKENS_LIMIT'),
    request(
      '1,000 directives at a field',
      `{ __typename ${'@skip(if: false) '.repeat(1_000)} }`,
      'MAX_DIRECTIVES_LIMIT',
    ),
    request('50 equal directives', `{ __typename ${'@skip(if: false) '.repeat(50)} }`, 'GRAPHQL_VALIDATION_FAILED'),
    request('4,000 unknown directives', `{ __typename ${many(4_000, (i) => `@d${i}`)} }`, 'MAX_DIRECTIVES_LIMIT'),
    request(
      '4,000 directives at an operation',
      `query Q ${'@a '.repeat(4_000)} { __typename }`,
      'MAX_DIRECTIVES_LIMIT',
    ),
    request(
      '4,000 directives at a variable',
      `query($v: Int ${'@a '.repeat(4_000)}) { __typename }`,
      'MAX_DIRECTIVES_LIMIT',
    ),
    request(
      'directives at every spread of a fan',
      `{ ...F0 } ${many(40, (i) => `fragment F${i} on Query { ...F${i + 1} @skip(if: false) ...F${i + 1} @skip(if: true) }`)} fragment F40 on Query { __typename }`,
      'MAX_ROOT_FIELDS_LIMIT',
    ),
    request(
      'a directive with a list of 2,000 values',
      `{ __typename @skip(if: [${'1 '.repeat(2_000)}]) }`,
      'MAX_LITERALS_LIMIT',
    ),
  ];
}

function introspection(): HostileRequest[] {
  return [
    request(
      'types of fields of types, 4 deep',
      `{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request(
      'types of fields of types, 90 deep',
      `{ __schema { types { ${'fields { type { '.repeat(45)} name ${'} } '.repeat(45)} } } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ),
    request('3,000 __typename', `{ viewer { ${'__typename '.repeat(3_000)} } }`, 'MAX_FIELDS_LIMIT'),
    request(
      '60 aliases of __schema',
      `{ ${many(60, (i) => `a${i}: __schema { types { name } }`)} }`,
      'MAX_ROOT_FIELDS_LIMIT',
    ),
    request(
      '20 aliases of __type with one name each',
      `{ ${many(20, (i) => `a${i}: __type(name: "T${i}") { name }`)} }`,
      'answered',
    ),
  ];
}

function inputs(): HostileRequest[] {
  const search = 'query($f: AuditFilter) { auditEvents(first: 1, filter: $f) { __typename } }';
  const usage = 'mutation($i: RecordUsageInput!) { recordUsage(input: $i) { __typename } }';
  const lists = `{"f": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  const objects = `{"f": ${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`;
  return [
    request('variables of 100,000 lists', search, 'MAX_INPUT_LIMIT', lists),
    request('variables of 50,000 objects', search, 'MAX_INPUT_LIMIT', objects),
    request('variables of 500,000 values', search, 'MAX_INPUT_LIMIT', { f: Array.from({ length: 500_000 }, () => 1) }),
    request(
      'variables nobody declared',
      search,
      'MAX_INPUT_LIMIT',
      Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`v${i}`, i])),
    ),
    request('15,000 usage events', usage, 'COST_ESTIMATED_TOO_EXPENSIVE', {
      i: { events: Array.from({ length: 15_000 }, () => ({})) },
    }),
    request(
      'prototype keys in variables',
      search,
      'answered',
      '{"__proto__": {"f": 1}, "constructor": {"prototype": 1}, "f": {"__proto__": {"action": "x"}}}',
    ),
    request('variables that are no object', search, 'answered', [1, 2, 3]),
    request('a string of 900,000 characters in a variable', search, 'answered', { f: { action: 'a'.repeat(900_000) } }),
  ];
}

function costly(): HostileRequest[] {
  const people = 'members(first: 100) { edges { node { groups {';
  return [
    request(
      'people of groups of people of groups',
      `{ users(first: 100) { edges { node { groups { ${people} id } } } } } } } } }`,
      'COST_ESTIMATED_TOO_EXPENSIVE',
    ),
    request(
      'a page of 2^31 by variable',
      'query($n: Int!) { users(first: $n) { edges { node { id } } } }',
      'COST_ESTIMATED_TOO_EXPENSIVE',
      { n: 2 ** 31 },
    ),
    request(
      'a page of 1e308 by variable',
      'query($n: Int!) { users(first: $n) { edges { node { id } } } }',
      'COST_ESTIMATED_TOO_EXPENSIVE',
      { n: 1e308 },
    ),
    request(
      '19 pages that only together are dear',
      `{ ${many(19, (i) => `a${i}: users(first: 100) { edges { node { id } } }`)} }`,
      'COST_ESTIMATED_TOO_EXPENSIVE',
    ),
    request(
      'a negative page beside a dear one',
      '{ a: users(first: -2147483647) { edges { node { id } } } b: users(first: 5000) { edges { node { id } } } }',
      'COST_ESTIMATED_TOO_EXPENSIVE',
    ),
    request(
      'fragments that merge in ever new ways',
      `{ users { edges { node { ...M0 } } } } ${many(4, (i) => `fragment M${i} on User { groups { ...G${i} ...H${i} } } fragment G${i} on Group { members { edges { node { ...M${i + 1} } } } } fragment H${i} on Group { members { edges { node { ...M${i + 1} } } } }`)} fragment M4 on User { id }`,
      'MAX_DEPTH_LIMIT',
    ),
    request(
      '16 conditions by variables',
      `query(${many(16, (i) => `$v${i}: Boolean!`)}) { viewer { ${many(16, (i) => `a${i}: __typename @include(if: $v${i})`)} } }`,
      'answered',
      Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`v${i}`, i % 2 === 0])),
    ),
  ];
}

function nested(levels: number, open: string, close: string): string {
  return `${`${open} { `.repeat(levels)}__typename ${`} ${close}`.repeat(levels)}`;
}
