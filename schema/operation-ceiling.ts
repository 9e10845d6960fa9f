import { getNamedType, isAbstractType, isInputObjectType, Kind, TypeInfo, visit, visitWithTypeInfo } from 'graphql';
import type { ArgumentNode, DocumentNode, GraphQLSchema, OperationDefinitionNode } from 'graphql';
import { argumentCoordinate, type CostSchema } from './cost/cost-schema.ts';
import { estimateCost, fragmentsOf } from './cost/query-cost.ts';
import { asTenonError, fail } from './errors.ts';

/** A validated document with one operation, and what its costs come from. */
export interface CeilingInput {
  readonly document: DocumentNode;
  readonly schema: GraphQLSchema;
  readonly costs: CostSchema;
}

/** What an operation costs as long as nobody sends variables that change it. */
export interface OperationCost {
  /** Whole points, with the defaults of its variables; what variables may leave out is counted. */
  readonly estimate: number;
  /** True where a variable can make it dearer: it sizes a list, fills an input object or gives an argument with a weight. */
  readonly isOpen: boolean;
}

/**
 * Returns the cost of an operation before its variables are known. Fails as estimateCost does; slicing arguments that
 * only a variable can give count as nothing, and leave the cost open.
 */
export function operationCost({ document, schema, costs }: CeilingInput): OperationCost {
  const operation = document.definitions.find(
    (definition): definition is OperationDefinitionNode => definition.kind === Kind.OPERATION_DEFINITION,
  );
  if (operation === undefined) return fail('BAD_REQUEST', 'a document without an operation');
  const open = isOpen({ document, schema, costs });
  const fragments = fragmentsOf(document);
  try {
    const input = { operation: withoutBooleanDefaults(operation), fragments, variables: {}, schema, costs };
    return { estimate: estimateCost(input).total, isOpen: open };
  } catch (error) {
    if (open && asTenonError(error).code === 'COST_INVALID_SLICING_ARGUMENTS') return { estimate: 0, isOpen: true };
    throw error;
  }
}

/** A default could leave out with `@skip` or `@include` what a client may ask for. */
function withoutBooleanDefaults(operation: OperationDefinitionNode): OperationDefinitionNode {
  const variableDefinitions = (operation.variableDefinitions ?? []).map((definition) => {
    const { defaultValue, ...rest } = definition;
    return defaultValue?.kind === Kind.BOOLEAN ? rest : definition;
  });
  return { ...operation, variableDefinitions };
}

function isOpen({ document, schema, costs }: CeilingInput): boolean {
  const types = new TypeInfo(schema);
  let open = false;
  visit(
    document,
    visitWithTypeInfo(types, {
      Argument: (node) => {
        open ||= holdsVariable(node) && isCostly({ schema, costs }, types);
      },
    }),
  );
  return open;
}

/** Whether the argument at which the visit stands can change a cost by its value. */
function isCostly({ schema, costs }: Omit<CeilingInput, 'document'>, types: TypeInfo): boolean {
  const [argument, field, parent] = [types.getArgument(), types.getFieldDef(), types.getParentType()];
  if (argument == null || field == null || parent == null || types.getDirective() != null) return false;
  if (isInputObjectType(getNamedType(argument.type))) return true;
  const owners = isAbstractType(parent) ? [parent, ...schema.getPossibleTypes(parent)] : [parent];
  return owners.some(({ name }) => {
    const coordinate = `${name}.${field.name}`;
    const sizes = costs.listSizes.get(coordinate)?.slicingArguments ?? [];
    return (
      sizes.some(([first]) => first === argument.name) ||
      costs.argumentWeights.has(argumentCoordinate(coordinate, argument.name))
    );
  });
}

function holdsVariable(argument: ArgumentNode): boolean {
  let found = false;
  visit(argument, {
    Variable: () => {
      found = true;
    },
  });
  return found;
}
