/**
 * Rules of oxlint that keep the doors to tenants' rows few: whoever wants rows goes through `inTenant`, which says whose.
 * Every other place that speaks to a database is listed here with what stands in for the tenant there.
 */

/** Places that open connections of their own. */
export const OPENERS = {
  'subgraphs/kit/database-pools.ts': 'the pools behind inTenant, inTenantOnce and inTenantAudit',
  'subgraphs/kit/database-setup.ts': 'roles, rights and keys, as owner or superuser; no tenant yet',
  'subgraphs/kit/migrations.ts': 'the schema, as its owner, whom row security binds',
  'subgraphs/kit/change-listener.ts': 'listens, reads no table of tenants',
  'subgraphs/kit/statement-cancel.ts': 'cancels a statement, asks none',
  'subgraphs/kit/jobs/job-queue.ts': 'the schema of the job queue, as its owner',
  'subgraphs/kit/jobs/runner.ts': 'tenon_worker, in the job queue; what a job does is done by inTenant',
  'subgraphs/kit/jobs/liveness.ts': 'a lock of the whole database, no row',
  'subgraphs/identity/upkeep/cell-lock.ts': 'a lock of the whole database, no row',
  'subgraphs/identity/security-events/delivery-signal.ts': 'listens, reads no row',
  'compliance/worker-pools.ts': 'tenon_worker, whom row security lets into the listed tables alone',
  'compliance/evidence/evidence-client.ts': 'facts of the database as a whole: catalogs',
  'compliance/doctor.ts': 'catalogs and settings, no row of a tenant',
  'compliance/isolation/examination.ts': 'attacks as tenants that do not exist, rolled back',
  'compliance/moves/end.ts': 'tenon_worker, the rows of one tenant at a time, under her context',
  'compliance/data-key-rotation.ts': 'tenon_worker, the key of one tenant at a time, under her context',
  'compliance/commands-reconcile.ts': 'tenon_worker, counts by tenant',
};

/** Places that take a pool of a cell by its name, instead of a transaction of a tenant. */
export const POOL_TAKERS = {
  'subgraphs/kit/database.ts': 'the doors themselves',
  'subgraphs/kit/cell-stores.ts': 'tenon_worker, in the stores of one tenant each',
  'subgraphs/kit/store-stamps.ts': 'sums of the server, no row',
  'subgraphs/kit/jobs/store-jobs.ts': 'tenon_worker, in the job queue; what a job does is done by inTenant',
  'subgraphs/kit/postgres-version.ts': 'asks for the version of the server',
  'gateway/health.ts': 'asks whether the stores answer',
  'compliance/streams/stream-store.ts': 'tenon_worker, in what it drains for all tenants',
  'compliance/privacy/turn.ts': 'tenon_worker, a lock',
  'compliance/evidence/turn.ts': 'tenon_worker, in what it builds for all tenants',
};

/** Places of gateway and subgraphs that say statements beside a transaction of a tenant. */
export const SPEAKERS = {
  'gateway/health.ts': 'select 1',
  'subgraphs/identity/security-events/delivery-queue.ts': 'tenon_worker, in what it drains for all tenants',
  'subgraphs/identity/security-events/delivery-signal.ts': 'listen',
  'subgraphs/identity/upkeep/cell-lock.ts': 'a lock',
  'subgraphs/tenants/tier-limits.ts': 'the directory',
  'subgraphs/tenants/life-days.ts': 'the directory',
  'subgraphs/tenants/directory-transaction.ts': 'the directory',
};

const CONNECTIONS = new Set(['Pool', 'Client', 'Connection', 'DataSource']);
const POOLS = new Set(['tenantSource', 'auditPool', 'createQueryRunner', 'lend']);
const ORM = new Set(['getRepository', 'getTreeRepository', 'createQueryBuilder', 'query', 'transaction']);

/** The place of a file below the root of the project, with slashes. */
function placeOf(context) {
  const path = (context.filename ?? '').replaceAll('\\', '/');
  const from = path.search(/(?:^|\/)(?:gateway|subgraphs|compliance)\/(?!.*\/(?:gateway|subgraphs|compliance)\/)/);
  return from === -1 ? null : path.slice(from).replace(/^\//, '');
}

function nameOf(node) {
  if (node.type === 'Identifier') return node.name;
  if (node.type === 'MemberExpression') return node.property.name ?? '';
  return '';
}

/** What a statement is said through: `tx`, the manager that a transaction lends, or the directory, which has no rows of tenants. */
function isOfTransaction(node) {
  if (nameOf(node) === 'directory') return true;
  if (node.type === 'Identifier') return /^(?:tx|\w*Tx|manager|nested)$/.test(node.name);
  if (node.type === 'MemberExpression') return nameOf(node) === 'tx' || isOfTransaction(node.object);
  // A builder of a transaction is a part of it: tx.manager.createQueryBuilder().
  return node.type === 'CallExpression' && isOfTransaction(node.callee);
}

function isImportOfDriver(node) {
  return /^(?:pg|pg-pool|postgres|typeorm)$/.test(node.source.value);
}

const openConnections = {
  create(context) {
    const place = placeOf(context);
    if (place === null || Object.hasOwn(OPENERS, place)) return {};
    const fromDriver = new Set();
    return {
      ImportDeclaration(node) {
        if (!isImportOfDriver(node)) return;
        for (const { local } of node.specifiers) fromDriver.add(local.name);
      },
      NewExpression(node) {
        const { callee } = node;
        const isDrivers =
          (callee.type === 'Identifier' && fromDriver.has(callee.name)) ||
          (callee.type === 'MemberExpression' && fromDriver.has(callee.object.name));
        if (isDrivers && CONNECTIONS.has(nameOf(callee)))
          context.report({
            node,
            message: `A connection of one's own has no tenant; use inTenant of #kit/database.ts.`,
          });
      },
    };
  },
};

const takePools = {
  create(context) {
    const place = placeOf(context);
    if (place === null || Object.hasOwn(POOL_TAKERS, place)) return {};
    return {
      CallExpression(node) {
        if (node.callee.type === 'MemberExpression' && POOLS.has(nameOf(node.callee)))
          context.report({ node, message: 'A pool of a cell has no tenant; use inTenant of #kit/database.ts.' });
      },
    };
  },
};

const speakUnscoped = {
  create(context) {
    const place = placeOf(context);
    const isOurs = place !== null && /^(?:gateway|subgraphs)\//.test(place) && !place.startsWith('subgraphs/kit/');
    if (!isOurs || Object.hasOwn(SPEAKERS, place)) return {};
    return {
      CallExpression(node) {
        const { callee } = node;
        if (callee.type !== 'MemberExpression' || !ORM.has(nameOf(callee)) || isOfTransaction(callee.object)) return;
        context.report({
          node,
          message: `"${nameOf(callee)}" outside a transaction of a tenant; use inTenant of #kit/database.ts.`,
        });
      },
    };
  },
};

export default {
  meta: { name: 'tenancy' },
  rules: { 'open-connections': openConnections, 'take-pools': takePools, 'speak-unscoped': speakUnscoped },
};
