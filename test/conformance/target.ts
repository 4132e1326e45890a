/** A registry under test, empty below its namespace when it starts. */
export interface Target extends AsyncDisposable {
  /** `http://host:port`, without a path. */
  readonly url: string;
  /** Repositories below this may be pushed, pulled and deleted, such as `local` for `local/app`. */
  readonly namespace: string;
  /** Sent with every request, when given. */
  readonly authorization?: string;
}
