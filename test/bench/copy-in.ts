import pg from 'pg';

/** What the driver's connection offers for COPY, beside what its types tell. */
interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
}

/**
 * Runs `COPY ... FROM STDIN` with the chunks as its data and resolves when the server has taken them all. Nothing else may
 * run on the client meanwhile. A chunk is made when the server has room for it.
 */
export function copyIn(client: pg.Client, statement: string, chunks: Iterable<Buffer>): Promise<void> {
  return new Promise((resolve, reject) => {
    const { stream } = (client as pg.Client & { readonly connection: pg.Connection }).connection;
    const send = async (connection: CopyConnection) => {
      for (const chunk of chunks) {
        connection.sendCopyFromChunk(chunk);
        if (stream.writableNeedDrain) await new Promise((drained) => stream.once('drain', drained));
      }
      connection.endCopyFrom();
    };
    client.query({
      submit: (connection: unknown) => (connection as CopyConnection).query(statement),
      handleCopyInResponse: (connection: CopyConnection) => {
        send(connection).catch((error: unknown) => connection.sendCopyFail(String(error)));
      },
      handleCommandComplete: () => undefined,
      handleReadyForQuery: () => resolve(),
      handleError: (error: Error) => reject(error),
    } as unknown as pg.Submittable);
  });
}
