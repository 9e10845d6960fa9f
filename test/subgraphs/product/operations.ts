import type { House } from '../../support/house.ts';

export const CREATE_PROJECT =
  'mutation ($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }';
export const CREATE_DOCUMENT =
  'mutation ($input: CreateDocumentInput!) { createDocument(input: $input) { document { id } } }';
export const SHARE_DOCUMENT =
  'mutation ($input: ShareDocumentInput!) { shareDocument(input: $input) { share { recipient permission } auditEventId } }';

/** Creates a project through the front door and returns its id. */
export async function createProject(house: House, token: string, name: string): Promise<string> {
  const answer = await house.graphql(token, CREATE_PROJECT, { input: { name } });
  return (answer.data as unknown as { createProject: { project: { id: string } } }).createProject.project.id;
}

/** Creates a document through the front door and returns its id. */
export async function createDocument(
  house: House,
  token: string,
  input: { projectId: string; name: string },
): Promise<string> {
  const answer = await house.graphql(token, CREATE_DOCUMENT, { input });
  return (answer.data as unknown as { createDocument: { document: { id: string } } }).createDocument.document.id;
}
