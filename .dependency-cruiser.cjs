/** Imports run one way: see CONTRIBUTING.md, "Which way imports run". */
const may = {
  main: ['cli'],
  cli: ['compose', 'admin', 'access', 'config', 'ops', 'oci'],
  compose: [
    'http',
    'admin',
    'access',
    'hosted',
    'mirror',
    'store',
    'ledger',
    'upstream',
    'notifications',
    'config',
    'ops',
    'oci',
  ],
  http: ['access', 'hosted', 'mirror', 'ops', 'oci'],
  access: ['ops', 'oci'],
  hosted: ['mirror', 'ops', 'oci'],
  admin: ['mirror', 'ops', 'oci'],
  store: ['hosted', 'mirror', 'ops', 'oci'],
  ledger: ['hosted', 'mirror', 'ops', 'oci'],
  upstream: ['mirror', 'ops', 'oci'],
  notifications: ['ops', 'oci'],
  config: ['access', 'oci'],
  mirror: ['oci', 'ops'],
  ops: [],
  oci: [],
};
const place = (name) => ({ main: '^src/main\\.ts$', compose: '^src/compose(\\.ts$|/)' })[name] ?? `^src/${name}/`;

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    ...Object.entries(may).map(([name, others]) => ({
      name: `${name}-imports-only-${others.join('-') || 'itself'}`,
      severity: 'error',
      from: { path: place(name) },
      to: { path: '^src/', pathNot: [place(name), ...others.map(place)] },
    })),
    {
      // The ports are all that an adapter may know of the flow.
      name: 'adapters-know-only-the-ports',
      severity: 'error',
      from: { path: '^src/(store|ledger|upstream)/' },
      to: { path: '^src/(mirror|hosted)/', pathNot: '^src/(mirror/(ports|failure|read-stored)|hosted/ports)\\.ts$' },
    },
    {
      name: 'only-the-ledger-speaks-sql',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/ledger/' },
      to: { path: 'better-sqlite3' },
    },
    {
      // Both ask only hosts that the configuration names: registries, and the receivers of notifications.
      name: 'only-upstream-and-notifications-dial-out',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(upstream|notifications)/' },
      to: { path: 'node_modules/undici/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
