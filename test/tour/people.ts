import { graphql, must, send, type Tour } from './client.ts';

const USER = 'urn:ietf:params:scim:schemas:core:2.0:User';
const GROUP = 'urn:ietf:params:scim:schemas:core:2.0:Group';
const PATCH = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';

interface ScimResource {
  readonly id: string;
  readonly active?: boolean;
  readonly totalResults?: number;
}

/** A user comes as Okta sends her: looked up by name, not found, created. */
export async function oktaProvisions(tour: Tour): Promise<void> {
  const { scim } = tour.tenants.acme;
  const userName = `alice.${tour.run}@acme.example`;
  const filter = encodeURIComponent(`userName eq "${userName}"`);
  const lookup = await send<ScimResource>(tour, `/scim/v2/Users?filter=${filter}&startIndex=1&count=100`, {
    token: scim,
  });
  must(lookup.status === 200 && lookup.body.totalResults === 0, `the look-up answered ${lookup.status}`);
  const created = await send<ScimResource>(tour, '/scim/v2/Users', {
    token: scim,
    type: 'application/scim+json',
    body: {
      schemas: [USER],
      userName,
      name: { givenName: 'Alice', familyName: 'Brown' },
      emails: [{ primary: true, value: userName, type: 'work' }],
      displayName: 'Alice Brown',
      locale: 'en-US',
      externalId: `okta-${tour.run}`,
      groups: [],
      password: '1mz050nq',
      active: true,
    },
  });
  must(created.status === 201 && created.body.active === true, `create answered ${created.status}`);
  must(!JSON.stringify(created.body).includes('1mz050nq'), 'the password came back');
  tour.found.set('alice', created.body.id);
  tour.say(`POST /scim/v2/Users -> 201 ${created.body.id}; her password is nowhere in the answer`);
}

/** A user comes as Entra sends him: nulls, text booleans, one operation an attribute. */
export async function entraProvisions(tour: Tour): Promise<void> {
  const { scim } = tour.tenants.acme;
  const userName = `bob.${tour.run}@acme.example`;
  const created = await send<ScimResource>(tour, '/scim/v2/Users', {
    token: scim,
    type: 'application/scim+json',
    body: {
      schemas: [USER, 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'],
      externalId: `entra-${tour.run}`,
      userName,
      active: true,
      addresses: null,
      displayName: 'Bob Vance',
      emails: [{ type: 'work', value: userName, primary: true }],
      meta: { resourceType: 'User' },
      name: { formatted: 'Bob Vance', familyName: 'Vance', givenName: 'Bob' },
      roles: [],
    },
  });
  must(created.status === 201, `create answered ${created.status}`);
  const patched = await send(tour, `/scim/v2/Users/${created.body.id}`, {
    token: scim,
    method: 'PATCH',
    type: 'application/scim+json',
    body: {
      schemas: [PATCH],
      Operations: [
        { op: 'Add', path: 'name.givenName', value: 'Robert' },
        { op: 'Add', path: 'emails[type eq "work"].value', value: userName },
        {
          op: 'Replace',
          path: 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department',
          value: 'Refrigeration',
        },
      ],
    },
  });
  must(patched.status === 200 || patched.status === 204, `PATCH answered ${patched.status}`);
  tour.found.set('bob', created.body.id);
  tour.say(`created and patched ${created.body.id} in Entra's default shapes`);
}

/** A pushed group carries a role, so that what the identity provider says decides what she may do. */
export async function groupCarriesRole(tour: Tour): Promise<void> {
  const { scim, admin } = tour.tenants.acme;
  const members = ['alice', 'bob'].map((name) => ({ value: tour.found.get(name) }));
  const group = await send<ScimResource>(tour, '/scim/v2/Groups', {
    token: scim,
    type: 'application/scim+json',
    body: { schemas: [GROUP], displayName: `Engineering ${tour.run}`, members },
  });
  must(group.status === 201, `create answered ${group.status}`);
  const { roles } = await graphql<{ roles: { id: string; name: string }[] }>(tour, admin, '{ roles { id name } }');
  const role = roles.find(({ name }) => name === 'member');
  must(role !== undefined, 'there is no role member');
  await graphql(tour, admin, 'mutation ($input: GroupRoleInput!) { mapGroupToRole(input: $input) { group { id } } }', {
    input: { groupId: group.body.id, roleId: role.id },
  });
  tour.say('the group of the identity provider gives its members the role "member"');
}

/** She signs in with a one-time link; the second use of it is refused. */
export async function signsIn(tour: Tour): Promise<void> {
  for (const name of ['alice', 'bob']) {
    const { createSignInLink } = await graphql<{ createSignInLink: { url: string } }>(
      tour,
      tour.tenants.acme.admin,
      'mutation ($id: ID!) { createSignInLink(input: { userId: $id }) { url } }',
      { id: tour.found.get(name) },
    );
    const token = new URL(createSignInLink.url).searchParams.get('token');
    const signedIn = await send<{ token: string }>(tour, '/sso/link', { body: { token } });
    must(signedIn.status < 300, `sign-in answered ${signedIn.status}`);
    const again = await send(tour, '/sso/link', { body: { token } });
    must(again.status === 401, `the second use of the link answered ${again.status}`);
    tour.found.set(`${name}-session`, signedIn.body.token);
  }
  const { viewer } = await graphql<{ viewer: { user: { userName: string }; scopes: string[] } }>(
    tour,
    session(tour, 'alice'),
    '{ viewer { user { userName } scopes } }',
  );
  must(viewer.scopes.includes('projects:write'), 'the role of the group did not reach her session');
  tour.say(`${viewer.user.userName} is signed in with ${viewer.scopes.length} scopes; the link works once`);
}

/** Who leaves is refused at the next request, in the words of Okta and of Entra. */
export async function leaverIsOut(tour: Tour): Promise<void> {
  const shapes = {
    alice: { op: 'replace', value: { active: false } },
    bob: { op: 'Replace', path: 'active', value: 'False' },
  };
  for (const [name, operation] of Object.entries(shapes)) {
    const before = await send(tour, '/graphql', { token: session(tour, name), body: { query: '{ tenant { slug } }' } });
    must(before.status === 200, `${name} was out before`);
    const started = performance.now();
    const patched = await send(tour, `/scim/v2/Users/${tour.found.get(name)}`, {
      token: tour.tenants.acme.scim,
      method: 'PATCH',
      type: 'application/scim+json',
      body: { schemas: [PATCH], Operations: [operation] },
    });
    must(patched.status === 200 || patched.status === 204, `PATCH answered ${patched.status}`);
    const after = await send(tour, '/graphql', { token: session(tour, name), body: { query: '{ tenant { slug } }' } });
    must(after.status === 401, `${name} still got ${after.status}`);
    tour.say(`${name}: from the deactivation to the first refusal ${Math.round(performance.now() - started)} ms`);
  }
}

function session(tour: Tour, name: string): string {
  return tour.found.get(`${name}-session`) ?? '';
}
