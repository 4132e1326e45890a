import tseslint from 'typescript-eslint';

const noSyncFs = {
  group: ['node:fs', 'fs'],
  importNamePattern: 'Sync$',
  message: 'A synchronous call stops every transfer: use node:fs/promises.',
};
const noHttp = {
  group: ['node:http', 'node:https'],
  message: 'HTTP in is src/http, HTTP out is src/upstream and src/notifications (undici).',
};

export default tseslint.config(
  { ignores: ['dist/**', 'coverage/**', '.ci/**', 'bench/**', '*.cjs', 'eslint.config.js'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      'no-restricted-imports': ['error', { patterns: [noSyncFs, noHttp] }],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['src/http/**'],
    rules: {
      'no-restricted-imports': ['error', { patterns: [noSyncFs] }],
      // `return fail(ctx, …)` is how a handler ends early.
      '@typescript-eslint/no-confusing-void-expression': 'off',
    },
  },
  {
    // HTTP over the socket of the data directory, at both of its ends.
    files: ['src/admin/**', 'src/cli/admin-client.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: [noSyncFs] }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
    },
  },
  {
    // The port is asynchronous, SQLite is not: a method that throws rejects, as its callers expect.
    files: ['src/ledger/**'],
    rules: { '@typescript-eslint/require-await': 'off' },
  },
  {
    files: ['test/**'],
    rules: {
      'no-restricted-imports': 'off',
      'no-console': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
);
