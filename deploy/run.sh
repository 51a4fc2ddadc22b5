#!/bin/sh
# Sets up what is needed, then runs the whole fleet on an embedded PostgreSQL: sh deploy/run.sh [--demo]
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/setup.sh
. "$root/deploy/setup.sh"

case ${1:-} in
-h | --help)
    cat <<'END'
Usage: sh deploy/run.sh [--demo]

Sets up Python packages in .venv (once, about 30 s), then runs everything in one process: PostgreSQL, the monitor, the
API, and the dashboard at http://127.0.0.1:8420/. Ctrl-C stops all of it; what it knows stays.

  --demo      a fleet of its own with three pretended servers; Ctrl-C deletes it
  -h, --help  this text

Settings are variables, such as OLLAMA_FLEET_API_PORT=8421; deploy/docs/settings.md has all of them.
END
    exit
    ;;
--demo)
    shift
    set_up run
    need_account
    exec "$root/.venv/bin/python" "$root/deploy/demo.py" "$@"
    ;;
esac
set_up run
need_account
exec "$root/.venv/bin/ollama-fleet" up "$@"
