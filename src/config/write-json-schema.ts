/** Refreshes `mirror.config.schema.json`: run by `npm run schema`. */
import { writeFile } from 'node:fs/promises';
import { configJsonSchema } from './json-schema.ts';

const file = new URL('../../mirror.config.schema.json', import.meta.url);
await writeFile(file, `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
