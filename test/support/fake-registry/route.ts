import type { Place, RequestKind } from './requests.ts';

interface Route {
  readonly kind: RequestKind;
  readonly repository: string | undefined;
  readonly reference: string | undefined;
}

/** Each pattern names what it finds; the first that fits decides. Names are greedy, as the specification needs them. */
const registryRoutes: readonly (readonly [RequestKind, RegExp])[] = [
  ['ping', /^\/v2\/?$/],
  ['token', /^\/token$/],
  ['tags', /^\/v2\/(?<repository>.+)\/tags\/list$/],
  ['manifest', /^\/v2\/(?<repository>.+)\/manifests\/(?<reference>[^/]+)$/],
  ['blob', /^\/v2\/(?<repository>.+)\/blobs\/(?<reference>[^/]+)$/],
];

const routes: Readonly<Record<Place, typeof registryRoutes>> = {
  registry: registryRoutes,
  cdn: [['cdn', /^\/objects\/(?<reference>.+)$/]],
  token: [['token', /^\/token$/]],
};

export function routeOf(place: Place, path: string): Route {
  for (const [kind, pattern] of routes[place]) {
    const found = pattern.exec(path);
    if (found) return { kind, repository: part(found, 'repository'), reference: part(found, 'reference') };
  }
  return { kind: 'other', repository: undefined, reference: undefined };
}

function part(found: RegExpExecArray, name: string): string | undefined {
  const text = found.groups?.[name];
  return text === undefined ? undefined : decodeURIComponent(text);
}
