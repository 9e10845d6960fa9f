import { Arg, Ctx, Directive, FieldResolver, Mutation, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { IdentityConnectionPayload } from '../connections/inputs.ts';
import { ConnectionKind, IdentityConnection } from '../connections/model.ts';
import {
  AddSamlCertificateInput,
  CreateSamlConnectionInput,
  RemoveSamlCertificateInput,
  SamlConnectionInput,
  SamlConnectionSettings,
  UpdateSamlConnectionInput,
} from './inputs.ts';
import {
  addCertificate,
  createSamlConnection,
  refreshMetadata,
  removeCertificate,
  rotateServiceKey,
  updateSamlConnection,
} from './service.ts';
import { shownSettings } from './shown-settings.ts';

/** Connections over SAML 2.0. */
@Resolver(() => IdentityConnection)
export class SamlConnectionResolver {
  @FieldResolver(() => SamlConnectionSettings, {
    nullable: true,
    description: 'What a connection over SAML is set to; null for one of another kind.',
  })
  saml(@Ctx() ctx: RequestContext, @Root() connection: IdentityConnection) {
    return connection.kind === ConnectionKind.SAML ? shownSettings(ctx, connection) : null;
  }

  @Mutation(() => IdentityConnectionPayload, {
    description: 'Makes a draft of a connection over SAML 2.0; nobody signs in over it until it is activated.',
  })
  @Directive('@audit(action: "identity_connection.create")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  @Directive('@permission(scope: "identity:write")')
  async createSamlConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CreateSamlConnectionInput) input: CreateSamlConnectionInput,
  ) {
    return { connection: await createSamlConnection(ctx, input) };
  }

  @Mutation(() => IdentityConnectionPayload, { description: 'Changes a connection over SAML 2.0.' })
  @Directive('@audit(action: "identity_connection.update")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  @Directive('@permission(scope: "identity:write")')
  async updateSamlConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => UpdateSamlConnectionInput) input: UpdateSamlConnectionInput,
  ) {
    return { connection: await updateSamlConnection(ctx, input) };
  }

  @Mutation(() => IdentityConnectionPayload, {
    description:
      'Reads the metadata at the address of the connection and takes them over; an entity id that differs is refused.',
  })
  @Directive('@audit(action: "identity_connection.refresh_metadata")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive('@permission(scope: "identity:write")')
  async refreshSamlMetadata(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => SamlConnectionInput) input: SamlConnectionInput,
  ) {
    return { connection: await refreshMetadata(ctx, input.connectionId) };
  }

  @Mutation(() => IdentityConnectionPayload, {
    description:
      'Adds a certificate of the identity provider, beside those there are; adding it again changes nothing.',
  })
  @Directive('@audit(action: "saml_certificate.add")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive('@permission(scope: "identity:write")')
  async addSamlCertificate(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => AddSamlCertificateInput) input: AddSamlCertificateInput,
  ) {
    return { connection: await addCertificate(ctx, input) };
  }

  @Mutation(() => IdentityConnectionPayload, {
    description: 'Removes a certificate of the identity provider; the next assertion signed with it is refused.',
  })
  @Directive('@audit(action: "saml_certificate.remove")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive('@permission(scope: "identity:write")')
  async removeSamlCertificate(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RemoveSamlCertificateInput) input: RemoveSamlCertificateInput,
  ) {
    return { connection: await removeCertificate(ctx, input) };
  }

  @Mutation(() => IdentityConnectionPayload, {
    description:
      'Makes a new key of ours. Requests are signed with it from now on; assertions encrypted for the one before are still read, until the next rotation.',
  })
  @Directive('@audit(action: "saml_service_key.rotate")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive('@permission(scope: "identity:write")')
  async rotateSamlServiceKey(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => SamlConnectionInput) input: SamlConnectionInput,
  ) {
    return { connection: await rotateServiceKey(ctx, input.connectionId) };
  }
}
