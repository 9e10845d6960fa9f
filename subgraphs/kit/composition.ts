import { composeServices } from '@theguild/federation-composition';
import { Kind, parse, type ObjectTypeDefinitionNode, type ObjectTypeExtensionNode } from 'graphql';
import { findAction } from '#schema/audit-actions/index.ts';
import { auditActionOf } from './audit-actions.ts';
import { rightFaults } from './composition-rights.ts';
import type { Subgraph } from './define-subgraph.ts';

/** A fault that keeps the subgraphs from being one graph, or one that keeps the platform's promises. */
export class CompositionError extends Error {
  override readonly name = 'CompositionError';
}

/** Returns the supergraph SDL of the subgraphs; every broken rule of federation or of the platform is named at once. */
export function compose(subgraphs: readonly Subgraph[]): string {
  const faults = subgraphs.flatMap(promiseFaults);
  const result = composeServices(
    subgraphs.map((subgraph) => ({
      name: subgraph.name,
      typeDefs: parse(subgraph.sdl),
      url: `http://${subgraph.name}.subgraph`,
    })),
  );
  faults.push(...(result.errors ?? []).map((error) => error.message));
  if (faults.length > 0 || result.supergraphSdl === undefined) {
    throw new CompositionError(`the subgraphs do not compose:\n${faults.map((fault) => `- ${fault}`).join('\n')}`);
  }
  return `${result.supergraphSdl.trim()}\n`;
}

type FieldOwner = ObjectTypeDefinitionNode | ObjectTypeExtensionNode;

/**
 * The promises that no federation rule knows: each entrance asks for a right, each change is audited by an action of the
 * catalogue, and each personal field can be handed out.
 */
function promiseFaults(subgraph: Subgraph): string[] {
  const document = parse(subgraph.sdl);
  const types = document.definitions.filter(
    (node): node is FieldOwner => node.kind === Kind.OBJECT_TYPE_DEFINITION || node.kind === Kind.OBJECT_TYPE_EXTENSION,
  );
  const fields = types.flatMap((type) => (type.fields ?? []).map((field) => ({ type: type.name.value, field })));
  const marked = (directive: string) =>
    fields.filter(({ field }) => field.directives?.some(({ name }) => name.value === directive));
  const audited = new Set(marked('audit').map(({ field }) => field));
  const unaudited = fields.filter(({ type, field }) => type === 'Mutation' && !audited.has(field));
  const faults = unaudited.map(({ field }) => `${subgraph.name}: mutation ${field.name.value} has no @audit(action)`);
  for (const field of audited) {
    const action = auditActionOf(field);
    if (findAction(action) === null)
      faults.push(
        `${subgraph.name}: ${field.name.value} is audited as ${action}, which is not in schema/audit-actions`,
      );
  }
  faults.push(...rightFaults(subgraph.name, document));
  if (marked('personalData').length > 0 && subgraph.personalData === undefined) {
    faults.push(`${subgraph.name}: fields are marked @personalData, but the subgraph has no personal-data handler`);
  }
  return faults;
}
