import { ID_ALONE, type PersonalTable } from '#kit/personal-tables.ts';

/** The tables of tenants, and what each of them holds of a person. */
export const personalTables: Readonly<Record<string, PersonalTable>> = {
  tenants: { about: null, because: 'the tenant herself' },
  budget_limits: { about: null, because: 'numbers' },
  registered_operations: {
    about: 'public_id in (registered_by, approved_by, revoked_by)',
    end: 'kept',
    because: ID_ALONE,
  },
  service_levels: { about: null, because: 'numbers' },
  tier_service_levels: { about: null, because: 'numbers of all tenants' },
  jobs: { about: 'requested_by = public_id', end: 'kept', because: `${ID_ALONE}; for 30 days` },
  support_grants: { about: 'public_id in (operator, decided_by, ended_by)', end: 'kept', because: ID_ALONE },
  tenant_contracts: { about: 'confirmed_by = public_id', end: 'kept', because: ID_ALONE },
  tenant_notices: { about: null, because: 'which mail was sent when, and to nobody by name' },
};
