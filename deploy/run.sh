#!/bin/sh
# Sets up what is needed, then runs the whole fleet on an embedded PostgreSQL: sh deploy/run.sh [--demo] [options of `ollama-fleet up`]
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/setup.sh
. "$root/deploy/setup.sh"

set_up run
if [ "${1:-}" = --demo ]; then
    shift
    exec "$root/.venv/bin/python" "$root/deploy/demo.py" "$@"
fi
exec "$root/.venv/bin/ollama-fleet" up "$@"
