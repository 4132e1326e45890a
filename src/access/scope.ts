import { fail, ok, type Result } from '../oci/result.ts';
import { type Action, everyAction } from './action.ts';
import { limits } from './limits.ts';

/** Of any name that a client could write in a path, so that a token stays as short as its scopes. */
const nameSyntax = /^[A-Za-z0-9._:[\]/@-]{1,512}$/;

/** What a client asks a token for. */
export type Scope =
  | {
      readonly type: 'repository';
      /** As the client writes it in the path of its requests: no canonical name. */
      readonly name: string;
      readonly actions: ReadonlySet<Action>;
      /** Nothing else was asked for: no further action, known or not. */
      readonly isExactlyPull: boolean;
    }
  | { readonly type: 'catalog' };

/**
 * The scopes of a token request: several parameters, several in one parameter with spaces between, or both. Types that are not
 * known here are left out, as `registry:2` does.
 */
export function parseScopes(parameters: readonly string[]): Result<readonly Scope[], { readonly reason: string }> {
  const length = parameters.reduce((sum, parameter) => sum + parameter.length, 0);
  if (length > limits.maxScopeCharacters) {
    return fail({ reason: `the scopes have more than ${limits.maxScopeCharacters} characters together` });
  }
  const texts = parameters.flatMap((parameter) => parameter.split(' ')).filter((text) => text !== '');
  if (texts.length > limits.maxScopes) return fail({ reason: `more than ${limits.maxScopes} scopes` });
  return ok(texts.map(parseScope).filter((scope) => scope !== undefined));
}

/** `repository:NAME:pull,push`: a name may have a host with a port in front, so the outermost colons divide. */
function parseScope(text: string): Scope | undefined {
  const first = text.indexOf(':');
  const last = text.lastIndexOf(':');
  if (first < 0 || last === first) return undefined;
  // `repository(plugin)` is a repository with a class.
  const type = text.slice(0, first).replace(/\([^()]*\)$/, '');
  const name = text.slice(first + 1, last);
  const asked = new Set(text.slice(last + 1).split(','));
  if (type === 'registry' && name === 'catalog') return { type: 'catalog' };
  if (type !== 'repository' || !nameSyntax.test(name)) return undefined;
  const actions = new Set(everyAction.filter((action) => asked.has(action) || asked.has('*')));
  return { type, name, actions, isExactlyPull: asked.size === 1 && asked.has('pull') };
}

export function scopeText(scope: Scope): string {
  if (scope.type === 'catalog') return 'registry:catalog:*';
  return `repository:${scope.name}:${[...scope.actions].join(',')}`;
}
