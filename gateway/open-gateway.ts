import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { ApolloServer } from '@apollo/server';
import { ApolloServerPluginInlineTraceDisabled } from '@apollo/server/plugin/disabled';
import { listen } from '#kit/http-server.ts';
import type { Stop } from '#kit/process.ts';
import { ConfigError } from '#schema/config.ts';
import type { NamedSubgraph } from './apollo-gateway.ts';
import { plainLink, type PlainCall } from './links/remote-link.ts';
import { newOpenHttp } from './open-http.ts';
import { newProgramGateway, stringifyAnswer } from './program-gateway.ts';

const USAGE = `usage: npm run gateway -- --open --supergraph FILE [--port N] [--host NAME]

Serves any supergraph with the planner and the execution of the platform, and without its tenants, budgets, limits
and masks: for conformance suites and benchmarks, not for the network.

  --open             without the platform; must be given
  --supergraph FILE  a composed supergraph; its subgraphs are called at the addresses in it (required)
  --port N           port to listen on; 0 takes a free one (4000)
  --host NAME        address to listen on (127.0.0.1)
  --help             this text

POST and GET /graphql take operations; GET /health answers 200 when the supergraph is loaded, and 503 before.
`;

/** What the command line asks for. */
interface OpenOptions {
  readonly supergraph: string;
  readonly port: number;
  readonly host: string;
}

/**
 * Serves a supergraph to anybody who reaches the port and resolves, once it answers, to what stops it. Options that
 * cannot be used end the process with one line on stderr and exit code 2; a file that is no supergraph is a ConfigError.
 */
export async function runOpenGateway(args: readonly string[]): Promise<Stop> {
  const options = readOptions(args);
  const links = newPlainLinks();
  const apollo = newServer(await readSupergraph(options.supergraph), links.linkOf);
  const { http, markReady } = newOpenHttp(apollo);
  const url = await listen(http, options);
  const stop = async () => {
    await http.close();
    await apollo.stop();
    await links.close();
  };
  try {
    await apollo.start();
  } catch (error) {
    await http.close();
    await links.close();
    throw new ConfigError(`${options.supergraph} cannot be served: ${firstLine(error)}`);
  }
  markReady();
  process.stdout.write(`Tenon serves ${options.supergraph} at ${url}/graphql, open to all who reach it\n`);
  return stop;
}

function readOptions(args: readonly string[]): OpenOptions {
  let values;
  try {
    ({ values } = parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }));
  } catch (error) {
    return refuse(firstLine(error));
  }
  if (values.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  if (!values.open)
    return refuse('--open is missing: a supergraph of others is served without the platform or not at all');
  if (values.supergraph === undefined) return refuse('--supergraph is missing');
  const port = /^\d{1,5}$/.test(values.port) ? Number(values.port) : Number.NaN;
  if (!(port <= 65_535)) return refuse(`--port ${values.port} is no port; 0 to 65535 are`);
  return { supergraph: values.supergraph, port, host: values.host };
}

const OPTIONS = {
  open: { type: 'boolean', default: false },
  supergraph: { type: 'string' },
  port: { type: 'string', default: '4000' },
  host: { type: 'string', default: '127.0.0.1' },
  help: { type: 'boolean', default: false },
} as const;

function refuse(reason: string): never {
  process.stderr.write(`${reason}; --help tells more\n`);
  process.exit(2);
}

async function readSupergraph(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new ConfigError(`--supergraph cannot be read: ${firstLine(error)}`);
  }
}

/** Links to the subgraphs at the addresses that the supergraph names. */
function newPlainLinks() {
  const links: ReturnType<typeof plainLink>[] = [];
  return {
    linkOf: ({ name, url }: NamedSubgraph) => {
      if (url === undefined || !/^https?:\/\//.test(url) || !URL.canParse(url))
        throw new ConfigError(`the supergraph has no http address for the subgraph ${name}`);
      const link = plainLink({ subgraph: name, url });
      links.push(link);
      return link;
    },
    close: async () => {
      await Promise.all(links.map((link) => link.close()));
    },
  };
}

function newServer(supergraphSdl: string, linkOf: ReturnType<typeof newPlainLinks>['linkOf']): ApolloServer<PlainCall> {
  return new ApolloServer<PlainCall>({
    gateway: newProgramGateway<PlainCall, PlainCall>({
      supergraphSdl,
      linkOf,
      runOf: (call) => ({ call, signal: call.signal }),
    }),
    stringifyResult: stringifyAnswer,
    introspection: true,
    includeStacktraceInErrorResponses: false,
    csrfPrevention: false,
    persistedQueries: false,
    stopOnTerminationSignals: false,
    plugins: [ApolloServerPluginInlineTraceDisabled()],
  });
}

function firstLine(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line;
}
