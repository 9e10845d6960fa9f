import { buildSchema, defaultFieldResolver, isObjectType, type GraphQLSchema } from 'graphql';

type Resolver = (parent: Readonly<Record<string, unknown>>, args: Readonly<Record<string, unknown>>) => unknown;

/** Returns an executable schema; resolvers stand under an object type or under an interface that it implements. */
export function makeExecutableSchema(
  sdl: string,
  fields: Readonly<Record<string, Readonly<Record<string, Resolver>>>>,
): GraphQLSchema {
  const schema = buildSchema(sdl);
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) || type.name.startsWith('__')) continue;
    const owners = [type.name, ...type.getInterfaces().map(({ name }) => name)];
    for (const field of Object.values(type.getFields())) {
      const resolver = owners.map((owner) => fields[owner]?.[field.name]).find((found) => found !== undefined);
      field.resolve = resolver === undefined ? defaultFieldResolver : (parent, args) => resolver(parent, args);
    }
  }
  return schema;
}
