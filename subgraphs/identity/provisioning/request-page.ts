import { pageOf, pageRequest, uuidAfter, type Connection } from '#kit/connection.ts';
import { inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { ERRORS, type ErrorRow } from '#schema/errors.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import { DEVIATIONS, isRewrite } from '../scim/rewrites.ts';
import type { ScimRequestArgs } from './inputs.ts';
import type { ScimRequest } from './model.ts';

type Query = Pick<TenantTransaction, 'query'>;

/** Returns a page of what a connection has asked, newest first. */
export async function listRequests(
  ctx: RequestContext,
  connection: string,
  args: ScimRequestArgs,
): Promise<Connection<ScimRequest>> {
  const request = pageRequest(args);
  const { resourceId = null, refused = null, changed = null } = args.filter ?? {};
  const before = uuidAfter(request, 'scr');
  const rows = await inTenantOnce(ctx, (tx) =>
    tx.query<RequestRow>(
      `select ${COLUMNS} from scim_requests r
        where r.connection_id = $1 and ($2::uuid is null or r.id < $2) and ($3::text is null or r.resource_id = $3)
          and ($4::boolean is null or (r.status >= 400) = $4) and ($5::boolean is null or (cardinality(r.actions) > 0) = $5)
        order by r.id desc limit $6`,
      [uuidOf('con', connection), before, resourceId, refused, changed, request.limit],
    ),
  );
  return pageOf(rows.map(requestIn), request);
}

/** A request that began or ended somebody's access. */
export interface AccessRequest {
  readonly request: ScimRequest;
  /** Uuid of the connection that sent it. */
  readonly connection: string;
  /** Uuid of the end of access that it brought about. */
  readonly revocation: string | null;
}

/** Returns the requests that changed whether a person may sign in, newest first. */
export async function readAccessRequests(tx: Query, user: string, limit: number): Promise<AccessRequest[]> {
  const rows = await tx.query<RequestRow>(
    `select ${COLUMNS} from scim_requests r
      where r.resource_id = $1 and r.actions && '{user.provision,user.deactivate,user.reactivate,user.delete}'::text[]
      order by r.id desc limit $2`,
    [user, limit],
  );
  return rows.map((row) => ({ request: requestIn(row), connection: row.connection_id, revocation: row.revocation_id }));
}

const COLUMNS = `r.id, r.connection_id, r.token_id, r.at, r.method, r.path, r.resource_id, r.status, r.code, r.refused_form,
  r.duration_ms, r.actions, r.attributes, r.rewrites, r.request_id, r.revocation_id`;

interface RequestRow {
  readonly id: string;
  readonly connection_id: string;
  readonly token_id: string;
  readonly at: Date;
  readonly method: string;
  readonly path: string;
  readonly resource_id: string | null;
  readonly status: number;
  readonly code: string | null;
  readonly refused_form: string | null;
  readonly duration_ms: number;
  readonly actions: string[];
  readonly attributes: string[];
  readonly rewrites: string[];
  readonly request_id: string;
  readonly revocation_id: string | null;
}

function requestIn(row: RequestRow): ScimRequest {
  return {
    id: idOf('scr', row.id),
    at: row.at,
    method: row.method,
    path: row.path,
    resourceId: row.resource_id,
    status: row.status,
    scimType: errorOf(row.code)?.scimType ?? null,
    reason: reasonOf(row),
    durationMs: row.duration_ms,
    actions: row.actions,
    changedAttributes: row.attributes,
    rewrites: row.rewrites.filter(isRewrite).map((name) => ({ name, form: DEVIATIONS[name].form })),
    requestId: row.request_id,
    tokenId: idOf('scm', row.token_id),
  };
}

function errorOf(code: string | null): ErrorRow | undefined {
  const errors: Readonly<Record<string, ErrorRow>> = ERRORS;
  return code === null || !Object.hasOwn(errors, code) ? undefined : errors[code];
}

/** The sentence of the error table: what the answer said of the values in the request was not kept. */
function reasonOf({ code, refused_form: form }: RequestRow): string | null {
  const message = errorOf(code)?.message ?? null;
  if (form === null || !isRewrite(form)) return message;
  return `The profile of the connection does not take ${DEVIATIONS[form].form}.`;
}
