import tseslint from 'typescript-eslint';

const syncFs = {
  name: 'node:fs',
  importNamePattern: 'Sync$',
  message: 'A synchronous call stops every transfer: use node:fs/promises.',
};

export default tseslint.config(
  { ignores: ['dist/**', 'coverage/**', '*.cjs', 'eslint.config.js'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'no-restricted-imports': [
        'error',
        {
          paths: [syncFs, { name: 'node:http', message: 'HTTP in is src/http, HTTP out is src/upstream (undici).' }],
        },
      ],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['src/http/**', 'test/**'],
    rules: { 'no-restricted-imports': ['error', { paths: [syncFs] }] },
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
