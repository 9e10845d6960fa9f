import { at, nameOf, type CatalogRule } from './catalog-rule.ts';
import type { CatalogRelation, Privilege } from './catalog-snapshot.ts';

const SUPPORT = 'tenon_support';
const APPLICATION = 'tenon_app';
/** Tables that hold what proves who asks, opens what is sealed or leads somewhere in the tenant's name. */
const SECRETS: ReadonlySet<string> = new Set(
  [
    'credentials',
    'tenant_keys',
    'subject_keys',
    'sessions',
    'refresh_tokens',
    'authorization_codes',
    'sign_in_flows',
    'sign_in_factors',
    'recovery_codes',
    'pending_sign_ins',
    'identity_connections',
    'identity_links',
    'break_glass_users',
    'scim_connections',
    'security_event_receivers',
    'audit_streams',
    'outbox',
    'sequenced_events',
    'support_grants',
    'log_index_tokens',
  ].map((name) => `app.${name}`),
);
/** What an operator may change whom a tenant let in to work. */
const CHANGEABLE: ReadonlySet<string> = new Set(['app.projects', 'app.documents', 'app.document_shares']);

/** Rules on the role of operators whom a tenant let in. */
export const SUPPORT_RULES: readonly CatalogRule[] = [
  {
    name: 'support-less',
    requirement: 'tenon_support may do nothing that tenon_app may not do.',
    breaches: ({ relations, functions }) => [
      ...relations.flatMap((relation) =>
        rightsOn(relation)
          .filter(({ column, right }) => right.grantee === SUPPORT && !hasApplication(relation, column, right))
          .map(({ right }) => at(relation, `gives ${SUPPORT} ${right.privilege}, which ${APPLICATION} does not have.`)),
      ),
      ...functions
        .filter(({ privileges }) => isHeldBySupportAlone(privileges))
        .map((called) => ({
          object: nameOf(called),
          sentence: `${nameOf(called)} can be called by ${SUPPORT} and not by ${APPLICATION}.`,
        })),
    ],
  },
  {
    name: 'support-secrets',
    requirement: 'tenon_support reads no credential, key, way of signing in or grant of its own.',
    breaches: ({ relations }) =>
      supportRights(relations, ({ name }) => SECRETS.has(name)).map(({ relation, right }) =>
        at(relation, `holds secrets and gives ${SUPPORT} ${right.privilege}.`),
      ),
  },
  {
    name: 'support-changes',
    requirement: 'tenon_support changes projects and documents alone.',
    breaches: ({ relations }) =>
      supportRights(relations, ({ name, right }) => right.privilege !== 'SELECT' && !CHANGEABLE.has(name)).map(
        ({ relation, right }) => at(relation, `gives ${SUPPORT} ${right.privilege}.`),
      ),
  },
];

interface Held {
  readonly relation: CatalogRelation;
  readonly name: string;
  /** Null for the relation as a whole. */
  readonly column: string | null;
  readonly right: Privilege;
}

function supportRights(relations: readonly CatalogRelation[], isWrong: (held: Held) => boolean): Held[] {
  return relations.flatMap(rightsOn).filter((held) => held.right.grantee === SUPPORT && isWrong(held));
}

function rightsOn(relation: CatalogRelation): Held[] {
  const name = nameOf(relation);
  return [
    ...relation.privileges.map((right) => ({ relation, name, column: null, right })),
    ...relation.columns.flatMap((column) =>
      column.privileges.map((right) => ({ relation, name, column: column.name, right })),
    ),
  ];
}

/** On the relation as a whole, or on that column of it. */
function hasApplication(relation: CatalogRelation, column: string | null, { privilege }: Privilege): boolean {
  return rightsOn(relation).some(
    (held) =>
      held.right.grantee === APPLICATION &&
      held.right.privilege === privilege &&
      (held.column === null || held.column === column),
  );
}

function isHeldBySupportAlone(privileges: readonly Privilege[]): boolean {
  const grantees = new Set(privileges.map(({ grantee }) => grantee));
  return grantees.has(SUPPORT) && !grantees.has(APPLICATION);
}
