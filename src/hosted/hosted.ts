import type { Manifests } from '../mirror/manifests.ts';
import type { BlobStore, Clock, Ledger } from '../mirror/ports.ts';
import { Turns } from '../ops/turns.ts';
import { Collect } from './collect.ts';
import { Discover } from './discover.ts';
import { Mounts } from './mounts.ts';
import type { Policies } from './policies.ts';
import type { HostedLedger, HostedNotes, HostedStore, Uploads } from './ports.ts';
import { PullHosted } from './pull-hosted.ts';
import { PushBlob } from './push-blob.ts';
import { PushManifest } from './push-manifest.ts';
import { Remove } from './remove.ts';

interface Deps {
  readonly ledger: Ledger;
  readonly index: HostedLedger;
  readonly store: BlobStore & HostedStore;
  readonly notes: HostedNotes;
  readonly uploads: Uploads;
  readonly manifests: Pick<Manifests, 'read'>;
  readonly policies: Policies;
  readonly clock: Clock;
  readonly onDamage: ConstructorParameters<typeof PullHosted>[0]['onDamage'];
  readonly mayServe: ConstructorParameters<typeof Mounts>[0]['mayServe'];
}

/** What this server hosts itself, put together. */
export interface Hosted {
  readonly pull: PullHosted;
  readonly blobs: PushBlob;
  readonly manifests: PushManifest;
  readonly remove: Remove;
  readonly discover: Discover;
  readonly collect: Collect;
}

export function createHosted(deps: Deps): Hosted {
  const turns = new Turns<string>();
  const mounts = new Mounts(deps);
  return {
    pull: new PullHosted({ ...deps, mounts }),
    blobs: new PushBlob({ ...deps, mounts }),
    manifests: new PushManifest({ ...deps, turns }),
    remove: new Remove({ ...deps, turns }),
    discover: new Discover(deps),
    collect: new Collect({ ...deps, turns }),
  };
}
