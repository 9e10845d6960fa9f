import { ID_ALONE, type PersonalTable } from '#kit/personal-tables.ts';

const NAMED = `exists (select from unnest(addresses) as a (address) where position('@' in address) > 1
  and position(address in lower(name || ' ' || filter::text)) > 0)`;

/** The tables of the cell that are those of the audit log, and what each of them holds of a person. */
export const personalTables: Readonly<Record<string, PersonalTable>> = {
  audit_views: {
    about: `(owner_id = public_id and not shared) or ${NAMED}`,
    end: 'deleted',
    store: 'audit.auditViews',
  },
  privacy_requests: {
    about: 'subject_id = person or requested_by = public_id',
    end: 'kept',
    store: 'audit.privacyRequests',
    because: 'the proof that she was answered; her id alone',
  },
  audit_streams: { about: null, because: 'receivers of the tenant' },
  retention_policies: { about: 'set_by = public_id', end: 'kept', because: ID_ALONE },
  legal_holds: { about: 'public_id in (placed_by, released_by)', end: 'kept', because: ID_ALONE },
};
