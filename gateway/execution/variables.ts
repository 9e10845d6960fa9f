import {
  getVariableValues,
  type GraphQLError,
  type GraphQLFormattedError,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import { ERRORS } from '#schema/errors.ts';
import type { Variables } from './run-state.ts';

/** The values of an operation's variables, or why they are refused. */
export type CoercedVariables =
  | { readonly values: Variables; readonly errors?: undefined }
  | { readonly errors: readonly GraphQLFormattedError[] };

const MOST_ERRORS = 50;
const LONGEST_HINT = 300;
const NONE: CoercedVariables = { values: Object.freeze({}) };

/** Returns what coerces a caller's variables as the schema types them; what the operation does not declare is left out. */
export function newVariableCoercion(
  schema: GraphQLSchema,
  operation: OperationDefinitionNode,
): (given: Readonly<Record<string, unknown>>) => CoercedVariables {
  const definitions = operation.variableDefinitions ?? [];
  if (definitions.length === 0) return () => NONE;
  return (given) => {
    const { coerced, errors } = getVariableValues(schema, definitions, given, { maxErrors: MOST_ERRORS });
    return coerced === undefined ? { errors: (errors ?? []).map(inputError) } : { values: coerced };
  };
}

/** The text speaks of the caller's own values. */
function inputError(error: GraphQLError): GraphQLFormattedError {
  return {
    message: `${ERRORS.BAD_USER_INPUT.message} ${error.message.slice(0, LONGEST_HINT)}`,
    ...(error.locations === undefined ? {} : { locations: error.locations }),
    extensions: { code: 'BAD_USER_INPUT' },
  };
}
