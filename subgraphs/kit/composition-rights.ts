import {
  Kind,
  type ConstDirectiveNode,
  type DocumentNode,
  type FieldDefinitionNode,
  type ObjectTypeDefinitionNode,
  type ObjectTypeExtensionNode,
  type TypeNode,
} from 'graphql';

type ObjectNode = ObjectTypeDefinitionNode | ObjectTypeExtensionNode;

/** Entrances that whoever is in may use, whatever her rights: who she is, the way out, and her own ways of signing in. */
const OPEN_ENTRANCES: ReadonlySet<string> = new Set([
  'Query.viewer',
  'Mutation.signOut',
  'Mutation.addPasskey',
  'Mutation.enrolTotp',
  'Mutation.confirmTotp',
  'Mutation.renameFactor',
  'Mutation.removeFactor',
  'Mutation.renewRecoveryCodes',
]);

/** Fields that lead to a thing without the right of its type, each with why. */
const OPEN_WAYS: ReadonlyMap<string, string> = new Map([
  ['Viewer.user', 'who asks is herself'],
  ['ScopeChange.user', 'a part of previewGroupRole, which asks for the right'],
  ['EffectivePermission.roles', 'a part of permissionsPreview, which asks for the right'],
]);

/**
 * Returns what lets somebody come to a tenant's data without a right: an entrance, a thing that other subgraphs lead to by
 * its id, a list, or a way from a thing to another of a different right, where none of them says what it asks for.
 */
export function rightFaults(subgraph: string, sdl: DocumentNode): string[] {
  const types = sdl.definitions.filter(isObjectNode);
  const rights = new Map(types.map((type) => [type.name.value, rightOf(type.directives)]));
  const ofFields = types.flatMap((type) =>
    (type.fields ?? []).flatMap((field) => fieldFaults({ type, field, rights })),
  );
  return [...types.flatMap(entityFaults), ...ofFields].map((fault) => `${subgraph}: ${fault}`);
}

function entityFaults({ name, directives }: ObjectNode): string[] {
  const keys = (directives ?? []).filter((directive) => directive.name.value === 'key');
  if (keys.every(isUnresolvable) || rightOf(directives) !== null) return [];
  return [`${name.value} can be reached by its key, and has no @permission(scope)`];
}

function fieldFaults({
  type,
  field,
  rights,
}: {
  type: ObjectNode;
  field: FieldDefinitionNode;
  rights: ReadonlyMap<string, string | null>;
}): string[] {
  const owner = type.name.value;
  const path = `${owner}.${field.name.value}`;
  if (rightOf(field.directives) !== null) return [];
  if (owner === 'Query' || owner === 'Mutation')
    return OPEN_ENTRANCES.has(path) ? [] : [`${path} has no @permission(scope), and is not open to all`];
  // What stands in a page or an answer was asked for by the field that returns the page or the answer.
  if (/(?:Edge|Connection|Payload)$/.test(owner) || OPEN_WAYS.has(path)) return [];
  const target = namedType(field.type);
  const asked = rights.get(target) ?? null;
  if (target.endsWith('Connection')) return [`${path} leads to a list, and has no @permission(scope)`];
  if ((field.arguments ?? []).some((argument) => namedType(argument.type) === 'ID'))
    return [`${path} takes an id, and has no @permission(scope)`];
  if (asked === null || asked === rights.get(owner)) return [];
  return [`${path} leads to ${target}, which asks for ${asked}, and has no @permission(scope)`];
}

function isObjectNode(node: DocumentNode['definitions'][number]): node is ObjectNode {
  return node.kind === Kind.OBJECT_TYPE_DEFINITION || node.kind === Kind.OBJECT_TYPE_EXTENSION;
}

function isUnresolvable({ arguments: given }: ConstDirectiveNode): boolean {
  const value = given?.find(({ name }) => name.value === 'resolvable')?.value;
  return value?.kind === Kind.BOOLEAN && !value.value;
}

function rightOf(directives: readonly ConstDirectiveNode[] | undefined): string | null {
  const directive = directives?.find(({ name }) => name.value === 'permission');
  const value = directive?.arguments?.find(({ name }) => name.value === 'scope')?.value;
  return value?.kind === Kind.STRING ? value.value : null;
}

function namedType(type: TypeNode): string {
  return type.kind === Kind.NAMED_TYPE ? type.name.value : namedType(type.type);
}
