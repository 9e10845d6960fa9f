import { Arg, Ctx, Directive, FieldResolver, Mutation, Query, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { UserInput } from '../inputs.ts';
import { addBreakGlassUser, listBreakGlassUsers, removeBreakGlassUser } from './break-glass.ts';
import { recordOf } from './dns-proof.ts';
import { addEmailDomain, listDomains, removeEmailDomain, updateEmailDomain, verifyEmailDomain } from './domains.ts';
import {
  AddEmailDomainInput,
  BreakGlassPayload,
  BreakGlassUser,
  DnsRecord,
  EmailDomainInput,
  EmailDomainPayload,
  RemoveEmailDomainPayload,
  UpdateEmailDomainInput,
  VerifyEmailDomainPayload,
} from './inputs.ts';
import { EmailDomain } from './model.ts';

const READ = '@permission(scope: "identity:read")';
const WRITE = '@permission(scope: "identity:write")';

/** E-mail domains of the tenant, and who keeps a way in beside them. */
@Resolver(() => EmailDomain)
export class EmailDomainResolver {
  @Query(() => [EmailDomain], { description: 'The e-mail domains of the tenant by name, proven or not; at most 100.' })
  @Directive(READ)
  async emailDomains(@Ctx() ctx: RequestContext) {
    return listDomains(ctx);
  }

  @FieldResolver(() => DnsRecord, { description: 'The DNS record that proves the domain.' })
  record(@Root() domain: EmailDomain) {
    return recordOf(domain);
  }

  @Mutation(() => EmailDomainPayload, {
    description: 'Claims an e-mail domain; its record is then to be set in DNS, and verified.',
  })
  @Directive('@audit(action: "email_domain.add")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async addEmailDomain(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => AddEmailDomainInput) { domain }: AddEmailDomainInput,
  ) {
    return { emailDomain: await addEmailDomain(ctx, domain) };
  }

  @Mutation(() => VerifyEmailDomainPayload, {
    description: 'Looks for the record of a domain in DNS; found, the domain is proven.',
  })
  @Directive('@audit(action: "email_domain.verify")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async verifyEmailDomain(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => EmailDomainInput) { emailDomainId }: EmailDomainInput,
  ) {
    return verifyEmailDomain(ctx, emailDomainId);
  }

  @Mutation(() => EmailDomainPayload, { description: 'Says where the people of a domain sign in.' })
  @Directive('@audit(action: "email_domain.update")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async updateEmailDomain(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => UpdateEmailDomainInput) input: UpdateEmailDomainInput,
  ) {
    return { emailDomain: await updateEmailDomain(ctx, input) };
  }

  @Mutation(() => RemoveEmailDomainPayload, { description: 'Gives a domain up; nobody is found by it from now on.' })
  @Directive('@audit(action: "email_domain.remove")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async removeEmailDomain(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => EmailDomainInput) { emailDomainId }: EmailDomainInput,
  ) {
    return { removedEmailDomainId: await removeEmailDomain(ctx, emailDomainId) };
  }

  @Query(() => [BreakGlassUser], {
    description: 'Who may sign in without the identity provider when all others must not; at most 10.',
  })
  @Directive(READ)
  async breakGlassUsers(@Ctx() ctx: RequestContext) {
    return listBreakGlassUsers(ctx);
  }

  @Mutation(() => BreakGlassPayload, { description: 'Names a person for break-glass; each use is recorded.' })
  @Directive('@audit(action: "break_glass.add")')
  @Directive('@control(ids: ["CC6.1", "CC6.3"])')
  @Directive(WRITE)
  async addBreakGlassUser(@Ctx() ctx: RequestContext, @Arg('input', () => UserInput) { userId }: UserInput) {
    return { breakGlassUsers: await addBreakGlassUser(ctx, userId) };
  }

  @Mutation(() => BreakGlassPayload, { description: 'Takes a person out of break-glass.' })
  @Directive('@audit(action: "break_glass.remove")')
  @Directive('@control(ids: ["CC6.1", "CC6.3"])')
  @Directive(WRITE)
  async removeBreakGlassUser(@Ctx() ctx: RequestContext, @Arg('input', () => UserInput) { userId }: UserInput) {
    return { breakGlassUsers: await removeBreakGlassUser(ctx, userId) };
  }
}
