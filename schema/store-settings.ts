import { postgresUrl, storeBudget, tierPlacements, type Setting } from './setting-readers.ts';

/** The settings of stores beside the pools, a part of `SETTINGS`. */
export const STORE_SETTINGS = {
  adminDatabaseUrl: {
    env: 'ADMIN_DATABASE_URL',
    read: postgresUrl,
    takes: 'a postgres:// URL',
    fallback: null,
    about: 'A role that may make databases, for `tenon store add`; without it they have to be there.',
    secret: true,
  },
  tierPlacements: {
    env: 'TENON_TIER_PLACEMENTS',
    read: tierPlacements,
    takes: 'tiers with pool, bridge or silo, such as ENTERPRISE_PLUS=silo',
    fallback: null,
    about: 'Where new tenants of a tier lie whom nobody chose a placement for; the pool, where it says nothing.',
  },
  storeBudget: {
    env: 'TENON_STORE_CONNECTIONS',
    read: storeBudget,
    takes: 'three numbers, such as silo=3,bridge=8,cell=64',
    fallback: { perSilo: 3, perBridge: 8, perCell: 64 },
    about: 'Connections of a process to a silo, to a database of a bridge, and to all of a cell beside its pool.',
  },
} as const satisfies Record<string, Setting<unknown>>;
