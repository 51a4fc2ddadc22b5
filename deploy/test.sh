#!/bin/sh
# Sets up what is needed, then runs every check and test: sh deploy/test.sh [--long] [options of pytest]
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/setup.sh
. "$root/deploy/setup.sh"

# A check whose tool stays missing is skipped, and named in the last lines.
need_tool() {
    tool=$1
    package=$2
    if command -v "$tool" >/dev/null 2>&1; then return; fi
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        printf 'Installing %s with apt-get (once) …\n' "$package"
        export DEBIAN_FRONTEND=noninteractive
        if { apt-get update && apt-get install -y --no-install-recommends "$package"; } </dev/null >/dev/null; then return; fi
    fi
    printf '%s is missing, so its checks are skipped. On Debian and Ubuntu this helps:\n    %sapt-get install -y %s\n' \
        "$tool" "$(as_root)" "$package"
}

set_up test
need_account
need_tool systemd-analyze systemd
need_tool promtool prometheus
# The tests of the dashboard take the browser of the system, and never download one.
need_tool chromium chromium
exec "$root/.venv/bin/python" "$root/deploy/checks.py" "$@"
