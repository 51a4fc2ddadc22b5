# Some variables are set by setup.sh, and some are used by install.sh alone.
# shellcheck shell=sh disable=SC2154,SC2034
# What an installation consists of, and each step that makes or removes a part of it; sourced by install.sh.
#
# A version is a folder that is complete before anything points to it, so an upgrade that fails, at whichever
# step, has taken nothing from the version that runs.

: "${root:?is set by the script that sources this}"

user=ollama-fleet
prefix=${DESTDIR:-}
code=$prefix/opt/ollama-fleet
current=$code/current
configuration=$prefix/etc/ollama-fleet
settings=$configuration/ollama-fleet.toml
keyring=$configuration/keyring
state=$prefix/var/lib/ollama-fleet
units=$prefix/etc/systemd/system
command=$prefix/usr/local/bin/ollama-fleet
all_in_one=ollama-fleet
apart='ollama-fleet-monitor ollama-fleet-api'
needed_mb=500

# step TEXT COMMAND…: says what is done and does it; in a dry run it only says so.
step() {
    if [ "$dry_run" ]; then
        printf 'Would %s.\n' "$1"
        return
    fi
    printf -- '- %s\n' "$1"
    shift
    "$@"
}

is_complete() { [ -f "$1/complete" ]; }

# The same sources on the same Python are the same version.
name_version() {
    if [ "$wheel" ]; then
        number=$(basename -- "$wheel" | cut -d- -f2)
    else
        number=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml")
    fi
    version=$code/versions/$number-$(list_sources | cksum | cut -d ' ' -f 1)
}

list_sources() {
    cd "$root" || exit 1
    if [ "$wheel" ]; then cksum <"$wheel"; else find monitor api migrations pyproject.toml -type f ! -name '*.pyc' -exec cksum {} + | LC_ALL=C sort; fi
    cksum deploy/requirements.txt deploy/systemd/*
    "$python" -I -S -c 'import sys; print(sys.version)'
}

make_user() {
    if getent passwd "$user" >/dev/null; then return; fi
    step "make the system user $user" \
        useradd --system --user-group --home-dir /var/lib/ollama-fleet --no-create-home --shell /usr/sbin/nologin "$user"
}

make_version() {
    if is_complete "$version"; then return; fi
    if ! step "install the program into $version" build_version; then
        rm -rf "$version"
        fail 'The program could not be installed, for the reason above. What was installed before was not touched.'
    fi
}

build_version() {
    choose_installer
    rm -rf "$version"
    mkdir -p "$code/versions" &&
        (cd "$root" && "$installer" "$version" deploy/requirements.txt "${wheel:-$root}") &&
        "$version/bin/ollama-fleet" --version >/dev/null &&
        cp -R "$root/deploy/systemd" "$version/units" &&
        : >"$version/complete"
}

make_folders() {
    if ! [ -d "$configuration" ]; then step "make $configuration" own_folder "$configuration" "root:$user" 0750; fi
    if ! [ -d "$state" ]; then step "make $state" own_folder "$state" "$user:$user" 0700; fi
}

own_folder() { mkdir -p "$1" && chmod "$3" "$1" && chown "$2" "$1"; }

make_configuration() {
    if [ -f "$settings" ]; then return; fi
    step "write $settings" write_configuration || fail "$settings could not be written, for the reason above."
}

# Written aside, so that a configuration is there completely or not at all; it may hold a password.
write_configuration() {
    (
        umask 077
        "$version/bin/python" -I "$root/deploy/reference.py" toml >"$settings.new"
    ) && chown "root:$user" "$settings.new" && chmod 0640 "$settings.new" && mv -f "$settings.new" "$settings"
}

fleet() {
    program=$1/bin/ollama-fleet
    shift
    # Nothing but the file configures the services, so nothing else may configure what is done for them.
    (cd / && env -i PATH="$PATH" runuser -u "$user" -- "$program" --config "$settings" "$@")
}

check_configuration() {
    if ! [ -f "$settings" ] || ! is_complete "$version"; then return; fi
    # What it prints holds a password; what it complains of does not.
    if ! complaint=$(fleet "$version" db uri 2>&1 >/dev/null); then
        fail "$complaint
Mend $settings, then run this again. What ran before goes on."
    fi
}

# Asked while what ran before still runs: with the database away an upgrade would stop the services for nothing.
check_database() {
    if [ "$dry_run" ]; then return; fi
    if ! complaint=$(fleet "$version" migrate --dry-run 2>&1 >/dev/null); then
        fail "$complaint
So the database could not be brought up to date, and nothing was stopped: mend that, then run this again."
    fi
}

make_keyring() {
    if [ -f "$keyring" ]; then return; fi
    step "make the key ring $keyring" write_keyring ||
        fail "The key ring $keyring could not be made, for the reason above. What ran before goes on."
}

write_keyring() {
    rm -f "$keyring.new" && "$version/bin/ollama-fleet" keys create "$keyring.new" >/dev/null &&
        chmod 0400 "$keyring.new" && mv -f "$keyring.new" "$keyring"
}

choose_units() {
    if has_database_url; then
        wanted=$apart unwanted=$all_in_one
    else
        wanted=$all_in_one unwanted=$apart
    fi
}

has_database_url() {
    if [ -f "$settings" ]; then
        "$python" -I -c 'import sys, tomllib; sys.exit("database_url" not in tomllib.load(open(sys.argv[1], "rb")))' "$settings"
    else
        [ "${OLLAMA_FLEET_DATABASE_URL:-}" ]
    fi
}

is_in_place() {
    [ "$(readlink "$current" 2>/dev/null)" = "$version" ] && has_units "$version" &&
        cmp -s "$root/deploy/fleet_command.sh" "$command" && run_already
}

has_units() {
    for unit in $all_in_one $apart; do
        cmp -s "$1/units/$unit.service" "$units/$unit.service" || return
        if [ -f "$keyring" ]; then cmp -s "$1/units/keyring.conf" "$units/$unit.service.d/keyring.conf" || return; fi
    done
}

run_already() {
    for unit in $wanted; do
        systemctl is-enabled --quiet "$unit" && systemctl is-active --quiet "$unit" && knows_settings "$unit" || return
    done
    for unit in $unwanted; do
        ! systemctl is-enabled --quiet "$unit" 2>/dev/null || return
    done
}

# A service goes on with the settings and the key ring that it was started with, whatever the files say by now.
knows_settings() {
    started=$(systemctl show --timestamp=unix --property=ExecMainStartTimestamp --value "$1") || return
    for file in "$settings" "$keyring"; do
        if [ -f "$file" ] && ! [ "$(stat -c %Y "$file")" -lt "${started#@}" ]; then return 1; fi
    done
}

replace() {
    previous=$(readlink "$current" 2>/dev/null) || previous=''
    step 'stop what runs' stop_units
    if ! step 'bring the database up to date' fleet "$version" migrate; then
        if [ "$previous" ]; then start_units; fi
        fail "The database could not be brought up to date, for the reason above.${previous:+ The version before runs again.}"
    fi
    if ! step "put $version in place and start: $wanted" activate "$version"; then go_back; fi
}

stop_units() {
    for unit in $all_in_one $apart; do
        if [ -f "$units/$unit.service" ]; then systemctl stop "$unit" || return; fi
    done
}

# shellcheck disable=SC2086  # two units, or one
start_units() { systemctl restart $wanted; }

activate() {
    ln -sfn "$1" "$current.new" && mv -Tf "$current.new" "$current" && copy_units "$1" &&
        install -D -m 0755 "$root/deploy/fleet_command.sh" "$command" &&
        systemctl daemon-reload || return
    # shellcheck disable=SC2086  # two units, or one
    systemctl disable --quiet $unwanted && systemctl enable --quiet $wanted && start_units
}

copy_units() {
    mkdir -p "$units" || return
    for unit in $all_in_one $apart; do
        cp "$1/units/$unit.service" "$units/$unit.service" || return
        if [ -f "$keyring" ]; then
            mkdir -p "$units/$unit.service.d" && cp "$1/units/keyring.conf" "$units/$unit.service.d/" || return
        fi
    done
}

# shellcheck disable=SC2086  # two units, or one
units_of_journal() { printf ' -u %s' $wanted; }

show_last_words() {
    for unit in $wanted; do
        if systemctl is-active --quiet "$unit"; then continue; fi
        printf 'The last lines of %s:\n' "$unit"
        journalctl --quiet --no-pager --output=cat --lines=12 --unit "$unit" | sed 's/^/    /' || :
    done
}

# A version that knows another schema than the database has cannot be gone back to.
go_back() {
    journal="journalctl -e$(units_of_journal)"
    show_last_words >&2
    if [ -z "$previous" ] || [ "$previous" = "$version" ]; then
        fail "The services do not start: \`$journal\` says why. Mend that, then run this again."
    fi
    stop_units || :
    if fleet "$previous" servers list >/dev/null 2>&1 && activate "$previous"; then
        fail "The new version does not start: \`$journal\` says why. The version before, $previous, runs again."
    fi
    fail "The new version does not start: \`$journal\` says why. The version before cannot work on the database
as it is now: mend what is wrong and run this again, or restore the backup from before the upgrade (deploy/docs/operations.md)."
}
