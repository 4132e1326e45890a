import type { Collected } from '../admin/operations.ts';
import type { Hosted } from '../hosted/hosted.ts';
import { collectGarbage } from '../store/garbage.ts';

type Garbage = Parameters<typeof collectGarbage>[0];

interface Collection extends Garbage {
  readonly hosted: Pick<Hosted, 'collect'>;
}

/** What is hosted and serves nobody, and then the same of what is cached. */
export async function* collectAll({ hosted, ...cached }: Collection): AsyncIterable<Collected['removed'][number]> {
  const { before, dryRun, signal } = cached;
  yield* hosted.collect.run({ before, dryRun, signal });
  yield* collectGarbage(cached);
}
