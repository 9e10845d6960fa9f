import { Ctx, FieldResolver, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { residencyOf } from '#schema/residency.ts';
import { DATA_CLASSES } from '#schema/stored-data.ts';
import { Tenant } from './model.ts';
import { TenantResidency } from './residency-model.ts';

/** Where everything of the tenant lies. */
@Resolver(() => Tenant)
export class ResidencyResolver {
  @FieldResolver(() => TenantResidency, {
    description: 'Where everything of hers lies: what stays in her region, what does not, and why.',
  })
  residency(@Ctx() ctx: RequestContext, @Root() tenant: Tenant): TenantResidency {
    if (tenant.id !== ctx.tenant.tenant) return fail('NOT_FOUND', "another tenant's residency");
    const cell = ctx.databases.cells.find(({ name }) => name === tenant.cell);
    if (cell === undefined) return fail('SERVICE_UNAVAILABLE', `this process does not serve the cell ${tenant.cell}`);
    const places = residencyOf({ ...ctx.platform.config, cell, directoryUrl: null });
    return {
      region: cell.region,
      cell: cell.name,
      places: places.map(({ place, residency, holds, why }) => ({
        place,
        residency,
        holds: holds.map((name) => ({ name, about: DATA_CLASSES[name] })),
        why,
      })),
    };
  }
}
