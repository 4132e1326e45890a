import { Access } from './access.ts';
import type { Flight } from './flight.ts';
import type { FlightEnd } from './flight-end.ts';
import { Flights } from './flights.ts';
import { Listings } from './listings.ts';
import { Manifests } from './manifests.ts';
import type { BlobStore, Clock, Ledger } from './ports.ts';
import { PullBlob } from './pull-blob.ts';
import { PullManifest } from './pull-manifest.ts';
import { Refetch } from './refetch.ts';
import type { Registries } from './registries.ts';
import { Search } from './search.ts';
import { Tags } from './tags.ts';

export interface MirrorDeps {
  readonly store: BlobStore;
  readonly ledger: Ledger;
  readonly registries: Registries;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onFlightEnd: (flight: Flight, end: FlightEnd) => void;
}

/** The pull path, put together. */
export interface Mirror {
  readonly manifests: PullManifest;
  readonly blobs: PullBlob;
  readonly listings: Listings;
  readonly search: Search;
  readonly flights: Flights;
  readonly refetch: Refetch;
  readonly access: Access;
  /** By digest, whoever stored them. */
  readonly stored: Pick<Manifests, 'read'>;
  /** Breaks off what can be taken up again, and waits for what cannot. */
  stop(): Promise<void>;
}

export function createMirror(deps: MirrorDeps): Mirror {
  const access = new Access(deps);
  const manifests = new Manifests(deps);
  const tags = new Tags({ ...deps, manifests });
  const flights = new Flights({ ...deps, access, onEnd: deps.onFlightEnd });
  return {
    manifests: new PullManifest({ ...deps, access, manifests, tags }),
    blobs: new PullBlob({ ...deps, access, flights }),
    listings: new Listings({ ...deps, access }),
    search: new Search(deps),
    flights,
    access,
    stored: manifests,
    refetch: new Refetch({ ...deps, flights, manifests }),
    stop: async () => {
      await Promise.all([flights.stop(), manifests.idle()]);
    },
  };
}
