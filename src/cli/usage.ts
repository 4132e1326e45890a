export const usage = `Pull-through caching mirror for container images.

Usage: entrepot <command> [options]

Commands:
  serve            run the mirror
  check            validate the configuration and print what is in effect, without secrets
  setup docker     print the daemon.json that makes Docker engines use the mirror
  tls self-signed  make a certificate, and an authority that clients can trust, for a LAN

Who may log in; a running mirror notices within a second:
  user add NAME    add a user, or replace the password: asked for twice, or read from standard input
  user rm NAME     remove a user, with all tokens
  user ls          the users
  user token create USER --name WHATFOR [--expires 90d] [--repository PATTERN]... [--action pull|push|delete]...
                   a token for machines, to be used as the user's password; shown only once
  user token ls [USER]
  user token rm ID

These ask the running mirror, over a socket in its data directory:
  status           what it holds, how much room there is, and what is wrong
  ls [PATTERN]     the stored images, or those whose name matches: library/*, ghcr.io/**, **/alpine:3.*
  pin [PATTERN]    never remove images whose name matches; without a pattern: print what is pinned
  unpin PATTERN    take such a pin away
  gc               remove what serves nobody
  verify           hash everything that is stored, and name what is damaged

Options:
  --config FILE    configuration (default: mirror.config.json in the current directory)
  --json           print JSON, where a command prints more than a sentence (setup docker: the daemon.json alone)
  --dry-run        gc: only say what would be removed
  --repair         verify: fetch again what is damaged
  --host NAME      tls: a name or address by which clients reach the mirror; can be given again
  --days N         tls: how long the certificate is good (default: 825)
  --out DIR        tls: where to put the files (default: tls); an authority that is there already is used again
  --force          tls: replace a server certificate that is there already
  -h, --help       print this
  --version        print the version

Exit codes: 0 done, 1 failed (verify: damage was found), 2 wrong usage or configuration.
Every setting can be overridden by an environment variable: ENTREPOT_LISTEN_PORT=5001
serve: SIGHUP reads the configuration again, SIGTERM lets transfers finish and stops, a second one stops at once.
`;
