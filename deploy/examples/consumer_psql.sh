#!/usr/bin/env bash
# Follows ollama-fleet's events with psql alone: consumer_psql.sh postgresql://fleet_subscriber@HOST/fleet CURSOR_FILE
# An event is printed before the cursor moves: after a crash the last one may come twice, and none is left out.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: bash consumer_psql.sh DSN CURSOR_FILE, where \`ollama-fleet db uri\` prints the DSN; a password belongs into ~/.pgpass" >&2
    exit 2
fi
dsn=$1
file=$2
patience=${PATIENCE_SECONDS:-10}
folder=$(mktemp -d)
trap 'exit 0' TERM INT
trap 'kill "${!:-}" 2>/dev/null || true; rm -r "$folder"' EXIT
mkfifo "$folder/statements"

store() {
    printf '%s\n' "$1" >"$file.next"
    sync "$file.next"
    mv "$file.next" "$file" # A crash leaves the old cursor or the new one, never half of one.
}

# Say what is wrong once, not at each try.
said=
complain() {
    case $said in *"$1"*) return ;; esac
    said+=$1
    printf '%s\n' "$1" >&2
}

# One statement sees one moment: the newest number there is, beside what the log holds after the cursor.
read_statement() {
    printf '%s' "SELECT head.seq, event.seq, row_to_json(event) FROM fleet_event_head AS head LEFT JOIN LATERAL
        (SELECT * FROM fleet_events WHERE seq > $cursor ORDER BY seq LIMIT 500) AS event ON true ORDER BY event.seq;"
}

# Give psql a statement and go through its answer; false when the session is lost.
ask() {
    local newest seq event
    printf '%s\n\\echo . :SQLSTATE\n' "$1" >&4
    # Every statement here is answered at once; a half-open session is one that does not.
    while IFS='|' read -r -t "$patience" newest seq event <&3; do
        case $newest in
        '. 42'*) exit 1 ;; # No such table, or no right to read it: no waiting mends that.
        '. '*) said= && return 0 ;;
        Asynchronous*) woken=yes ;;
        '' | *[!0-9]*) complain "$newest" ;; # psql's own words
        "$cursor") ;;
        *)
            if [ "$seq" != "$((cursor + 1))" ]; then
                echo "The log ends at $newest and does not go on after $cursor: read the tables anew." >&2
                if [ "$newest" -gt "$cursor" ]; then exit 3; else exit 4; fi
            fi
            printf '%s\n' "$event"
            store "$seq"
            cursor=$seq
            woken=yes
            ;;
        esac
    done
    return 1
}

# psql hears of a notification with its next statement, so it is given an empty one every second.
follow() {
    ask 'LISTEN ollama_servers; LISTEN ollama_models;' || return 0
    while :; do
        woken=
        ask "$(read_statement)" || return 0
        for _ in 1 2 3 4 5; do
            if [ -n "$woken" ]; then break; fi
            sleep 1
            ask 'SELECT NULL WHERE false;' || return 0
        done
    done
}

cursor=$(cat "$file" 2>/dev/null || echo 0)
while :; do
    exec 4<>"$folder/statements"
    exec 3< <(LC_ALL=C PGCONNECT_TIMEOUT=5 exec psql --no-psqlrc --set VERBOSITY=terse --quiet --no-align --tuples-only "$dsn" \
        <"$folder/statements" 2>&1 4>&-)
    follow
    kill "$!" 2>/dev/null || true
    exec 3<&- 4>&-
    sleep 1
done
