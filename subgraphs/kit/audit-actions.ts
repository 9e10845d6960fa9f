import { Kind, parse, type ConstDirectiveNode, type FieldDefinitionNode } from 'graphql';

/** An audit action with the mutation that writes it and the control criteria it serves. */
export interface AuditAction {
  readonly action: string;
  readonly mutation: string;
  readonly controls: readonly string[];
}

/** Returns the audit actions of a supergraph, by name: what the directives say is what the log holds. */
export function auditActions(supergraphSdl: string): AuditAction[] {
  const actions = parse(supergraphSdl).definitions.flatMap((node) =>
    node.kind === Kind.OBJECT_TYPE_DEFINITION && node.name.value === 'Mutation'
      ? (node.fields ?? []).map(actionOf)
      : [],
  );
  return actions.toSorted((left, right) => (left.action < right.action ? -1 : 1));
}

/** Returns the action that a field's @audit directive names; empty where it has none. */
export function auditActionOf(field: FieldDefinitionNode): string {
  return stringsOf(field, { directive: 'audit', argument: 'action' })[0] ?? '';
}

function actionOf(field: FieldDefinitionNode): AuditAction {
  return {
    action: auditActionOf(field),
    mutation: field.name.value,
    controls: stringsOf(field, { directive: 'control', argument: 'ids' }),
  };
}

function stringsOf(field: FieldDefinitionNode, where: { directive: string; argument: string }): string[] {
  const directives = (field.directives ?? []).filter(({ name }) => name.value === where.directive);
  return directives.flatMap((directive) => argumentStrings(directive, where.argument));
}

function argumentStrings(directive: ConstDirectiveNode, argument: string): string[] {
  const value = directive.arguments?.find(({ name }) => name.value === argument)?.value;
  if (value?.kind === Kind.STRING) return [value.value];
  return value?.kind === Kind.LIST
    ? value.values.flatMap((item) => (item.kind === Kind.STRING ? [item.value] : []))
    : [];
}
