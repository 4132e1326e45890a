import { didYouMean } from '../config/nearest.ts';
import { fail, ok, type Result } from '../oci/result.ts';

/** Planned, and known by name already. */
const unsupported = ['containerd', 'podman', 'k3s', 'buildkit'];

/** Which client is to be set up; the failure is the problem, as one sentence. */
export function parseSetupClient(client: string | undefined, others: readonly string[]): Result<'docker', string> {
  const [surplus] = others;
  if (client === undefined) return fail('setup needs the client behind it: setup docker');
  if (unsupported.includes(client)) return fail(`setup ${client} is not supported yet`);
  if (client !== 'docker') {
    return fail(`setup knows no client ${JSON.stringify(client)}${didYouMean(client, ['docker', ...unsupported])}`);
  }
  return surplus === undefined ? ok(client) : fail(`setup docker takes no argument ${JSON.stringify(surplus)}`);
}
