import { base } from './base.ts';
import { catalog } from './catalog.ts';
import type { Area } from './check.ts';
import { deletion } from './delete.ts';
import { errors } from './errors.ts';
import { gotchas } from './gotchas.ts';
import { manifests } from './manifests.ts';
import { mount } from './mount.ts';
import { pull } from './pull.ts';
import { pushChunked } from './push-chunked.ts';
import { pushMonolithic } from './push-monolithic.ts';
import { referrers } from './referrers.ts';
import { tags } from './tags.ts';
import { uploadStatus } from './upload-status.ts';

/** protocol by protocol, in the order of the distribution-spec. */
export const areas: readonly Area[] = [
  base,
  pull,
  pushMonolithic,
  pushChunked,
  uploadStatus,
  mount,
  manifests,
  tags,
  catalog,
  referrers,
  deletion,
  errors,
  gotchas,
];
