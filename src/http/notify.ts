import type { RegistryEvent } from '../oci/registry-event.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import type { Context } from './context.ts';

/** Tells those who want to hear of it. Never throws, and never waits. */
export type Notify = (event: RegistryEvent) => void;

/** What has happened, without what the request says of itself. */
type Happening = Omit<RegistryEvent, 'request' | 'actor' | 'repository'> & { readonly repository: Repository };

export function announce(ctx: Context, notify: Notify, { repository, ...happening }: Happening): void {
  notify({
    ...happening,
    repository: repositoryText(repository),
    request: {
      id: ctx.response.get('X-Request-Id'),
      address: ctx.state.client.address,
      host: ctx.state.client.host,
      method: ctx.method,
      userAgent: ctx.get('User-Agent'),
    },
    actor: ctx.state.visitor?.user,
  });
}
