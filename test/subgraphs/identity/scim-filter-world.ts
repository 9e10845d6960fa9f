import {
  addGroup,
  addUser,
  ENTERPRISE_URN,
  openIdentity,
  patch,
  type IdentityPlatform,
  type ScimBody,
} from './identity-platform.ts';

/** People and groups that filters choose from, as the service shows them. */
export interface FilterWorld {
  readonly world: IdentityPlatform;
  readonly users: readonly ScimBody[];
  readonly groups: readonly ScimBody[];
}

/** Opens it with forty people, of whom each has and lacks something else, and three groups. */
export async function openFilterWorld(): Promise<FilterWorld> {
  const world = await openIdentity();
  const ids: string[] = [];
  for (let index = 0; index < 40; index++)
    ids.push(await addUser(world.acme, `${pick(FIRST, index)}.${index}@acme.example`, person(index)));
  await addGroup(world.acme, 'Everybody', ids);
  await addGroup(world.acme, 'Some', ids.slice(3, 9));
  const third = await addGroup(world.acme, 'some_100%');
  await world.acme.scim('PATCH', `/Groups/${third}`, patch({ op: 'replace', path: 'externalId', value: 'G-1' }));
  return {
    world,
    users: (await world.acme.scim('GET', '/Users?count=200')).body.Resources,
    groups: (await world.acme.scim('GET', '/Groups?count=200')).body.Resources,
  };
}

const FIRST = ['Ann', 'bob', 'Cyd', 'Dörte', 'EVE', "O'Neill", '100%', 'a_b'];
const pick = <T>(list: readonly T[], index: number): T => list[index % list.length] as T;

/** With every character that SQL or LIKE might trip over. */
function person(index: number): object {
  const first = pick(FIRST, index);
  return {
    displayName: index % 5 === 0 ? undefined : `${first} ${index}`,
    externalId: index % 3 === 0 ? undefined : index % 2 === 0 ? `EXT-${index}` : `ext-${index}`,
    active: index % 7 !== 0,
    title: pick([undefined, 'Guide', 'guide', 'Tour \\ Guide', '', 'A "quoted" title'], index),
    name: index % 4 === 0 ? undefined : { givenName: first, familyName: pick(['Jensen', 'JENSEN', 'Müller'], index) },
    emails: pick(
      [
        undefined,
        [],
        [{ value: `p${index}@acme.example`, type: 'work', primary: true }],
        [
          { value: `p${index}@home.example`, type: 'home' },
          { value: `p${index}@acme.example`, type: 'work' },
        ],
        [
          { value: `p${index}@home.example`, type: 'home', primary: true },
          { value: `w${index}@acme.example`, type: 'Work', primary: false },
        ],
      ],
      index,
    ),
    [ENTERPRISE_URN]:
      index % 2 === 0
        ? undefined
        : {
            department: pick(['Sales', 'sales', 'R&D'], index),
            manager: index % 3 === 0 ? { value: 'usr_m' } : undefined,
          },
  };
}
