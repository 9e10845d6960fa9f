import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { uuidv7 } from '#schema/ids.ts';
import type { RegisterScimExtensionInput, ScimAttributeInput, ScimSubAttributeInput } from './extension-inputs.ts';
import {
  ScimAttributeType,
  ScimMutability,
  ScimReturned,
  type ScimAttribute,
  type ScimExtension,
} from './extension-model.ts';
import { PROTOCOL_SCHEMAS } from './protocol-schemas.ts';
import { extensionsOf, type ExtensionRow } from './resource-types.ts';
import { builder, ENTERPRISE_SCHEMA, GROUP_SCHEMA, USER_SCHEMA, type Attribute } from './schema.ts';
import { isReservedName, refuse } from './value.ts';

/** So many extensions a tenant may have: each request of her identity provider reads them all. */
const MAX_EXTENSIONS = 10;
const STANDARD = [USER_SCHEMA, ENTERPRISE_SCHEMA, GROUP_SCHEMA, ...PROTOCOL_SCHEMAS].map(({ id }) => id);
/** What RFC 7643 keeps for itself; extensions of others under its prefix are usual. */
const RESERVED = ['urn:ietf:params:scim:api:', 'urn:ietf:params:scim:schemas:core:'];

type Query = Pick<TenantTransaction, 'query'>;

/** Returns the extensions of the tenant by their URN. */
export async function listScimExtensions(ctx: RequestContext): Promise<ScimExtension[]> {
  return inTenant(ctx, async (tx) => (await extensionsOf(tx)).map(shown));
}

/**
 * Adds a schema to the tenant's users or groups, or attributes to one that is there. What has values already stays what
 * it is: an attribute that is left out or has another type is CONFLICT, as is the URN of another schema in other case or
 * of another kind of resource. More than 10 extensions are TOO_MANY.
 */
export async function registerScimExtension(
  ctx: RequestContext,
  input: RegisterScimExtensionInput,
): Promise<ScimExtension> {
  requireFreeUrn(input.schema);
  const attributes = attributesOf(input.attributes);
  return inTenant(ctx, async (tx) => {
    const others = await lockedExtensions(tx);
    const before = others.find(({ urn }) => urn === input.schema);
    if (before === undefined) requireRoom(others, input.schema);
    else requireCompatible(before, { resourceType: input.resourceType, attributes });
    const [row] = await tx.query<ExtensionRow>(
      `insert into scim_extensions (urn, resource_type, name, description, attributes, revision, created_at, updated_at)
       values ($1, $2, $3, $4, $5, $6, $7, $7)
       on conflict (tenant_id, urn) do update set name = $3, description = $4, attributes = $5, revision = $6, updated_at = $7
       returning urn, resource_type, name, description, attributes, revision`,
      [
        input.schema,
        input.resourceType,
        input.name,
        input.description,
        JSON.stringify(attributes),
        uuidv7(),
        ctx.clock(),
      ],
    );
    if (row === undefined) throw new Error('an insert returns its row');
    await appendAudit(tx, ctx, {
      action: 'scim_extension.register',
      resource: { type: 'scim_extension', id: row.urn, name: row.name },
      context: { resource_type: row.resource_type, attributes: attributes.map(({ name }) => name) },
    });
    return shown(row);
  });
}

/** Removes a schema with every value that users or groups have under it; none of that URN is NOT_FOUND. */
export async function removeScimExtension(ctx: RequestContext, urn: string): Promise<string> {
  return inTenant(ctx, async (tx) => {
    const row = (await lockedExtensions(tx)).find((extension) => extension.urn === urn);
    if (row === undefined) fail('NOT_FOUND', 'no such extension in this tenant');
    await tx.query('delete from scim_extensions where urn = $1', [urn]);
    const table = row.resource_type === 'User' ? 'users' : 'groups';
    const [changed] = await tx.query<{ count: number }>(
      `with changed as (update ${table} set resource = resource - $1, version = version + 1, updated_at = $2
         where resource ? $1 returning 1) select count(*)::int as count from changed`,
      [urn, ctx.clock()],
    );
    await appendAudit(tx, ctx, {
      action: 'scim_extension.remove',
      resource: { type: 'scim_extension', id: row.urn, name: row.name },
      context: { resource_type: row.resource_type, resources: changed?.count ?? 0 },
    });
    return urn;
  });
}

/** One change at a time, so that the bound on their number holds. */
async function lockedExtensions(tx: Query): Promise<ExtensionRow[]> {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('scim extensions ' || tenon.tenant_id(), 0))`);
  return extensionsOf(tx);
}

function requireFreeUrn(urn: string): void {
  const folded = urn.toLowerCase();
  const isTaken = STANDARD.some((id) => id.toLowerCase() === folded);
  if (isTaken || RESERVED.some((prefix) => folded.startsWith(prefix)) || isReservedName(urn))
    refuse('"schema" takes a URN of your own.');
}

/** One URN within another would make the name of an attribute ambiguous. */
function requireRoom(others: readonly ExtensionRow[], urn: string): void {
  if (others.length >= MAX_EXTENSIONS) {
    fail('TOO_MANY', 'too many SCIM extensions', { hint: `A tenant has at most ${MAX_EXTENSIONS} extensions.` });
  }
  const known = [...others.map((other) => other.urn), ...STANDARD];
  if (known.some((other) => isWithin(urn, other) || isWithin(other, urn)))
    conflict('Another schema has this URN or one within it.');
}

function isWithin(one: string, other: string): boolean {
  return `${one}:`.toLowerCase().startsWith(`${other}:`.toLowerCase());
}

interface Proposal {
  readonly resourceType: string;
  readonly attributes: readonly Attribute[];
}

function requireCompatible(before: ExtensionRow, { resourceType, attributes }: Proposal): void {
  if (before.resource_type !== resourceType) conflict('The extension is for another kind of resource.');
  requireSame(before.attributes, attributes);
}

function requireSame(before: readonly Attribute[], after: readonly Attribute[]): void {
  for (const { name, type, multiValued, subAttributes = [] } of before) {
    const same = after.find((attribute) => attribute.name === name);
    if (same === undefined || same.type !== type || same.multiValued !== multiValued)
      conflict(`"${name}" has to stay with its type; remove the extension to begin anew.`);
    requireSame(subAttributes, same.subAttributes ?? []);
  }
}

function conflict(hint: string): never {
  fail('CONFLICT', 'SCIM extension conflicts', { hint });
}

function attributesOf(inputs: readonly ScimAttributeInput[]): Attribute[] {
  requireDistinct(inputs);
  return inputs.map((input) => {
    const isComplex = input.type === ScimAttributeType.COMPLEX;
    if (isComplex !== input.subAttributes.length > 0)
      refuse(`"${input.name}": a complex attribute has subAttributes, and no other has.`);
    if (input.multiValued && !isComplex) refuse(`"${input.name}": only a complex attribute has several values.`);
    requireDistinct(input.subAttributes);
    const { multiValued } = input;
    const mutability = input.mutability ?? ScimMutability.READ_WRITE;
    const returned = input.returned ?? ScimReturned.DEFAULT;
    return { ...simple(input), multiValued, mutability, returned, ...(isComplex && { subAttributes: partsOf(input) }) };
  });
}

function partsOf({ name, subAttributes }: ScimAttributeInput): Attribute[] {
  if (subAttributes.some(({ type }) => type === ScimAttributeType.COMPLEX))
    refuse(`"${name}": a part of it cannot be complex itself.`);
  return subAttributes.map(simple);
}

function simple({ name, type, description, caseExact, canonicalValues }: ScimSubAttributeInput): Attribute {
  return builder(type ?? ScimAttributeType.STRING)(name, description, {
    ...(typeof caseExact === 'boolean' && { caseExact }),
    ...(canonicalValues.length > 0 && { canonicalValues }),
    ...(type === ScimAttributeType.REFERENCE && { referenceTypes: ['external'] }),
  });
}

function requireDistinct(inputs: readonly { readonly name: string }[]): void {
  const names = new Set(inputs.map(({ name }) => name.toLowerCase()));
  if (names.size < inputs.length) refuse('Two attributes have the same name; case does not matter.');
  for (const { name } of inputs) if (isReservedName(name)) refuse(`"${name}" is no name for an attribute.`);
}

function shown({ urn, resource_type: resourceType, name, description, attributes }: ExtensionRow): ScimExtension {
  return { schema: urn, resourceType, name, description, attributes: attributes.map(shownAttribute) };
}

function shownAttribute({ canonicalValues = [], subAttributes = [], ...attribute }: Attribute): ScimAttribute {
  return { ...attribute, canonicalValues, subAttributes: subAttributes.map(shownAttribute) };
}
