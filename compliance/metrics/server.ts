import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A running door for operators. */
export interface MetricsServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves `GET /metrics` (Prometheus text) and `GET /healthz`, and nothing else. Port 0 takes a free one; one that is taken throws. */
export async function serveMetrics(
  { host, port }: { readonly host: string; readonly port: number },
  metrics: () => Promise<string>,
): Promise<MetricsServer> {
  const server = createServer((req, res) => {
    const answer = (status: number, body: string, type = 'text/plain; charset=utf-8') =>
      void res.writeHead(status, { 'content-type': type }).end(body);
    if (req.method !== 'GET') answer(405, 'GET only\n');
    else if (req.url === '/healthz') answer(200, 'ok\n');
    else if (req.url === '/metrics')
      metrics().then(
        (text) => answer(200, text, 'text/plain; version=0.0.4; charset=utf-8'),
        () => answer(500, 'the measurements cannot be read\n'),
      );
    else answer(404, 'not found\n');
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    server.listen(port, host, listening);
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://${host}:${address.port}/metrics`,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}
