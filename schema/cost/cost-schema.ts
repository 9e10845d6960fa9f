import { Kind, parse, valueFromASTUntyped } from 'graphql';
import type {
  ConstDirectiveNode,
  DocumentNode,
  FieldDefinitionNode,
  InputValueDefinitionNode,
  SelectionSetNode,
} from 'graphql';
import { fail } from '#schema/errors.ts';

/** How long the list of a field is, as its `@listSize` says (IBM cost specification, section 3.2). */
export interface ListSize {
  /** Elements where no slicing argument tells; null where the directive is silent. */
  readonly assumedSize: number | null;
  /** Paths to the arguments that tell the size: `['first']`, or `['input', 'first']` for `input.first`. */
  readonly slicingArguments: readonly (readonly string[])[];
  /** Fields of the returned type that have the size, such as `edges` and `nodes` of a Relay connection. */
  readonly sizedFields: ReadonlySet<string>;
  /** Whether an operation gives exactly one of the slicing arguments. */
  readonly requireOneSlicingArgument: boolean;
}

/**
 * The weights and list sizes that a supergraph declares, by schema coordinate: `Type`, `Type.field`, `Input.field`,
 * `Type.field(argument:)`. What is absent has the default weight of the cost model.
 */
export interface CostSchema {
  readonly typeWeights: ReadonlyMap<string, number>;
  readonly fieldWeights: ReadonlyMap<string, number>;
  readonly argumentWeights: ReadonlyMap<string, number>;
  readonly inputFieldWeights: ReadonlyMap<string, number>;
  readonly listSizes: ReadonlyMap<string, ListSize>;
  /** What the subgraph of a field needs of the same object (`@requires`): fetched, though no client selects it. */
  readonly requirements: ReadonlyMap<string, SelectionSetNode>;
}

/** Weights and sizes beyond this are mistakes; products of a few of them still fit a double. */
const WEIGHT_MAX = 2 ** 31;

/**
 * Returns the cost directives of a supergraph SDL, under whatever names its `@link` to the cost specification gives
 * them (`@cost`, `@federation__cost`, a renamed import); SDL without that link may use the plain or `federation__`
 * names. A weight may be written as Int, Float or numeric String. What an interface's field declares holds for every
 * implementing type that is silent. A directive that cannot be read fails with INTERNAL_SERVER_ERROR and its coordinate.
 */
export function readCostSchema(supergraphSdl: string): CostSchema {
  const document = parse(supergraphSdl, { noLocation: true });
  const reader = newReader(directiveNames(document));
  for (const definition of document.definitions) {
    switch (definition.kind) {
      case Kind.OBJECT_TYPE_DEFINITION:
      case Kind.INTERFACE_TYPE_DEFINITION:
        reader.weigh(reader.typeWeights, definition.name.value, definition.directives);
        readFields(reader, definition.name.value, definition.fields ?? []);
        break;
      case Kind.INPUT_OBJECT_TYPE_DEFINITION:
        readInputFields(reader, definition.name.value, definition.fields ?? []);
        break;
      case Kind.SCALAR_TYPE_DEFINITION:
      case Kind.ENUM_TYPE_DEFINITION:
        reader.weigh(reader.typeWeights, definition.name.value, definition.directives);
        break;
      default:
    }
  }
  inheritFromInterfaces(reader, document);
  const { typeWeights, fieldWeights, argumentWeights, inputFieldWeights, listSizes, requirements } = reader;
  return { typeWeights, fieldWeights, argumentWeights, inputFieldWeights, listSizes, requirements };
}

/** Returns the schema coordinate of a field argument. */
export function argumentCoordinate(field: string, argument: string): string {
  return `${field}(${argument}:)`;
}

interface DirectiveNames {
  readonly cost: ReadonlySet<string>;
  readonly listSize: ReadonlySet<string>;
}

interface Reader {
  readonly names: DirectiveNames;
  readonly typeWeights: Map<string, number>;
  readonly fieldWeights: Map<string, number>;
  readonly argumentWeights: Map<string, number>;
  readonly inputFieldWeights: Map<string, number>;
  readonly listSizes: Map<string, ListSize>;
  readonly requirements: Map<string, SelectionSetNode>;
  weigh(into: Map<string, number>, coordinate: string, directives: readonly ConstDirectiveNode[] | undefined): void;
}

function newReader(names: DirectiveNames): Reader {
  return {
    names,
    typeWeights: new Map(),
    fieldWeights: new Map(),
    argumentWeights: new Map(),
    inputFieldWeights: new Map(),
    listSizes: new Map(),
    requirements: new Map(),
    weigh(into, coordinate, directives) {
      const directive = directives?.find((one) => names.cost.has(one.name.value));
      if (directive !== undefined) into.set(coordinate, weightOf(directive, coordinate));
    },
  };
}

function readFields(reader: Reader, type: string, fields: readonly FieldDefinitionNode[]): void {
  for (const field of fields) {
    const coordinate = `${type}.${field.name.value}`;
    reader.weigh(reader.fieldWeights, coordinate, field.directives);
    for (const argument of field.arguments ?? []) {
      reader.weigh(reader.argumentWeights, argumentCoordinate(coordinate, argument.name.value), argument.directives);
    }
    const listSize = field.directives?.find((one) => reader.names.listSize.has(one.name.value));
    if (listSize !== undefined) reader.listSizes.set(coordinate, listSizeOf(listSize, coordinate));
    const required = requiredSelection(field);
    if (required !== null) reader.requirements.set(coordinate, required);
  }
}

/** A composed supergraph writes `@requires` as `@join__field(requires: "...")`, once for each subgraph that has one. */
function requiredSelection(field: FieldDefinitionNode): SelectionSetNode | null {
  const required = (field.directives ?? [])
    .filter((directive) => directive.name.value === 'join__field')
    .map((directive) => argumentsOf(directive).get('requires'))
    .filter((selection) => typeof selection === 'string');
  if (required.length === 0) return null;
  const [operation] = parse(`{ ${required.join(' ')} }`, { noLocation: true }).definitions;
  return operation?.kind === Kind.OPERATION_DEFINITION ? operation.selectionSet : null;
}

function readInputFields(reader: Reader, type: string, fields: readonly InputValueDefinitionNode[]): void {
  for (const field of fields) reader.weigh(reader.inputFieldWeights, `${type}.${field.name.value}`, field.directives);
}

function inheritFromInterfaces(reader: Reader, document: DocumentNode): void {
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OBJECT_TYPE_DEFINITION) continue;
    for (const implemented of definition.interfaces ?? []) {
      for (const field of definition.fields ?? []) {
        inheritField(reader, field, { own: definition.name.value, inherited: implemented.name.value });
      }
    }
  }
}

function inheritField(reader: Reader, field: FieldDefinitionNode, types: { own: string; inherited: string }): void {
  const own = `${types.own}.${field.name.value}`;
  const inherited = `${types.inherited}.${field.name.value}`;
  inherit(reader.fieldWeights, own, inherited);
  inherit(reader.listSizes, own, inherited);
  for (const argument of field.arguments ?? []) {
    const name = argument.name.value;
    inherit(reader.argumentWeights, argumentCoordinate(own, name), argumentCoordinate(inherited, name));
  }
}

function inherit<T>(map: Map<string, T>, own: string, inherited: string): void {
  const value = map.get(inherited);
  if (value !== undefined && !map.has(own)) map.set(own, value);
}

const COST_FEATURE = /^https:\/\/specs\.apollo\.dev\/cost\/v\d/;

/** Core-schema naming: an import names a directive; without one the feature's own name stands for `@cost` and prefixes the rest. */
function directiveNames(document: DocumentNode): DirectiveNames {
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.SCHEMA_DEFINITION && definition.kind !== Kind.SCHEMA_EXTENSION) continue;
    for (const directive of definition.directives ?? []) {
      if (directive.name.value !== 'link') continue;
      const link = argumentsOf(directive);
      const url = link.get('url');
      if (typeof url !== 'string' || !COST_FEATURE.test(url)) continue;
      const as = link.get('as');
      const prefix = typeof as === 'string' ? as : 'cost';
      const imports = importedNames(link.get('import'));
      return {
        cost: new Set([imports.get('@cost') ?? prefix]),
        listSize: new Set([imports.get('@listSize') ?? `${prefix}__listSize`]),
      };
    }
  }
  return { cost: new Set(['cost', 'federation__cost']), listSize: new Set(['listSize', 'federation__listSize']) };
}

function importedNames(imports: unknown): Map<string, string> {
  const names = new Map<string, string>();
  for (const entry of Array.isArray(imports) ? imports : []) {
    if (typeof entry === 'string') names.set(entry, entry.slice(1));
    if (!isRecord(entry) || typeof entry['name'] !== 'string') continue;
    const as = entry['as'];
    names.set(entry['name'], (typeof as === 'string' ? as : entry['name']).slice(1));
  }
  return names;
}

function weightOf(directive: ConstDirectiveNode, coordinate: string): number {
  const written = argumentsOf(directive).get('weight');
  const weight = typeof written === 'string' && written.trim() !== '' ? Number(written) : written;
  if (typeof weight !== 'number' || !(Math.abs(weight) <= WEIGHT_MAX)) {
    fail('INTERNAL_SERVER_ERROR', `@cost on ${coordinate}: weight must be a number within ±${WEIGHT_MAX}`);
  }
  return weight;
}

const ARGUMENT_PATH = /^[_A-Za-z]\w*(\.[_A-Za-z]\w*)*$/;
const FIELD_NAME = /^[_A-Za-z]\w*$/;

function listSizeOf(directive: ConstDirectiveNode, coordinate: string): ListSize {
  const given = argumentsOf(directive);
  const assumedSize = given.get('assumedSize') ?? null;
  if (assumedSize !== null && !(typeof assumedSize === 'number' && assumedSize >= 0 && assumedSize <= WEIGHT_MAX)) {
    fail('INTERNAL_SERVER_ERROR', `@listSize on ${coordinate}: assumedSize must be an Int of 0 or more`);
  }
  const paths = namesOf(given.get('slicingArguments'), ARGUMENT_PATH, `${coordinate}: slicingArguments`);
  return {
    assumedSize,
    slicingArguments: paths.map((path) => path.split('.')),
    sizedFields: new Set(namesOf(given.get('sizedFields'), FIELD_NAME, `${coordinate}: sizedFields`)),
    requireOneSlicingArgument: given.get('requireOneSlicingArgument') !== false,
  };
}

function namesOf(value: unknown, shape: RegExp, where: string): string[] {
  const list: unknown[] = value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];
  return list.map((name) => {
    if (typeof name === 'string' && shape.test(name)) return name;
    return fail('INTERNAL_SERVER_ERROR', `@listSize on ${where}: cannot read ${JSON.stringify(name)}`);
  });
}

function argumentsOf(directive: ConstDirectiveNode): Map<string, unknown> {
  return new Map((directive.arguments ?? []).map((one) => [one.name.value, valueFromASTUntyped(one.value)]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
