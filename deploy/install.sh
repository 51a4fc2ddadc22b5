#!/bin/sh
# Installs ollama-fleet as services of this host's systemd, upgrades it, or takes it away again.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck source=deploy/setup.sh
. "$root/deploy/setup.sh"
# shellcheck source=deploy/installation.sh
. "$root/deploy/installation.sh"

usage() {
    cat <<'END'
sh deploy/install.sh [--dry-run] [--wheel FILE]      install, or upgrade to the version of this checkout
sh deploy/install.sh [--dry-run] --uninstall         take it away; data, configuration and user stay
sh deploy/install.sh [--dry-run] --uninstall --purge take these away, too

  --dry-run     say what would be done, and do nothing
  --wheel FILE  take the program from this wheel; what it needs is installed as locked in this checkout

OLLAMA_FLEET_DATABASE_URL in the environment goes into a configuration that is new. Without a database URL
one service, ollama-fleet, runs everything on a PostgreSQL of its own; with one, ollama-fleet-monitor and
ollama-fleet-api run on yours. Run it again after a change of the configuration's database_url.
DESTDIR in the environment is a folder to install below, instead of /.
END
}

wrong_usage() {
    printf '%s\n\n' "$1" >&2
    usage >&2
    exit 2
}

read_arguments() {
    dry_run='' wheel='' uninstall='' purge=''
    while [ $# -gt 0 ]; do
        case $1 in
        --dry-run) dry_run=yes ;;
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        --wheel)
            [ $# -gt 1 ] || wrong_usage '--wheel needs the path of a wheel.'
            wheel=$2
            shift
            ;;
        -h | --help)
            usage
            exit
            ;;
        *) wrong_usage "install.sh does not know $1." ;;
        esac
        shift
    done
    if [ "$purge" ] && [ -z "$uninstall" ]; then wrong_usage '--purge goes with --uninstall.'; fi
}

require_host() {
    if ! command -v systemctl >/dev/null 2>&1 || ! [ -d "$prefix/run/systemd/system" ]; then
        fail 'This host is not run by systemd, which is to start the services: use deploy/run.sh, or your own service manager.'
    fi
    if [ "$(id -u)" -ne 0 ]; then
        fail 'This installs services and a system user, so it needs root: run it with sudo.'
    fi
}

require_python() {
    choose_python
    case $(readlink -f "$python" || printf %s "$python") in
    /home/* | /root/* | /run/user/*)
        fail "$python lies in a private home, which the services do not see: install Python 3.11 or newer for the
whole system (python3 and python3-venv on Debian and Ubuntu), and put it first on PATH."
        ;;
    esac
}

require_disk() {
    folder=$prefix/opt
    while ! [ -d "$folder" ]; do folder=$(dirname "$folder"); done
    free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1024) }')
    if [ "${free:-0}" -lt "$needed_mb" ]; then
        fail "Only $free MB are free in $folder, and a version beside the present one needs $needed_mb MB: make room first."
    fi
}

require_wheel() {
    case $wheel in
    '') return 0 ;;
    *.whl) [ -f "$wheel" ] || fail "There is no file $wheel." ;;
    *) fail "$wheel is no wheel: its name ends in .whl." ;;
    esac
    wheel=$(CDPATH='' cd -- "$(dirname -- "$wheel")" && pwd -P)/$(basename -- "$wheel")
}

install_all() {
    require_wheel
    clean_environment
    require_python
    name_version
    take_turn || exit 1
    if ! is_complete "$version"; then require_disk; fi
    make_user
    make_version
    make_folders
    make_configuration
    check_configuration
    make_keyring
    choose_units
    if is_in_place; then
        printf 'Everything is in place and runs; the services were not touched.\n'
        return
    fi
    check_database
    replace
    remove_old_versions
    installed
}

# The one before stays, in case the new one disappoints.
remove_old_versions() {
    if [ "$previous" = "$version" ] || ! [ -d "$code/versions" ]; then return; fi
    for folder in "$code/versions"/*; do
        case $folder in "$version" | "$previous" | "$code/versions/*") continue ;; esac
        step "remove the old version $folder" rm -rf "$folder"
    done
}

installed() {
    if [ "$dry_run" ]; then return; fi
    cat <<END
ollama-fleet is installed and runs.

  Configuration  $settings
  Services       $wanted
  Log            journalctl -f$(units_of_journal)
  Next           ollama-fleet servers add gpu-1 http://HOST:11434
END
}

remove_all() {
    if [ -d "$code" ] || [ -e "$units/$all_in_one.service" ]; then
        step 'stop and disable the services' disable_units
        step 'remove the units, the program and its command' remove_program
    fi
    if [ -z "$purge" ]; then
        printf 'Kept: %s, %s and the user %s; --uninstall --purge takes them, too.\n' "$configuration" "$state" "$user"
        return
    fi
    step "remove $configuration, with the key ring" rm -rf "$configuration"
    step "remove $state, with the embedded PostgreSQL and all its data" rm -rf "$state"
    if getent passwd "$user" >/dev/null; then step "remove the user $user" userdel "$user"; fi
    printf 'A PostgreSQL of yours was not touched: its database is yours to drop.\n'
}

disable_units() {
    for unit in $all_in_one $apart; do
        if [ -f "$units/$unit.service" ]; then systemctl disable --quiet --now "$unit" || return; fi
    done
}

remove_program() {
    for unit in $all_in_one $apart; do
        rm -f "$units/$unit.service" "$units/$unit.service.d/keyring.conf"
        # What an operator has put there stays.
        rmdir "$units/$unit.service.d" 2>/dev/null || true
    done
    rm -rf "$code" "$command" && systemctl daemon-reload
}

read_arguments "$@"
require_host
if [ "$uninstall" ]; then
    remove_all
else
    install_all 9<"$prefix/run/systemd/system"
fi
