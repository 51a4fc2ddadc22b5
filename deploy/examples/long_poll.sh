#!/usr/bin/env bash
# Follows ollama-fleet's events by long poll, a page per line: long_poll.sh http://127.0.0.1:8420 CURSOR_FILE
# A page is printed before the cursor moves: after a crash the last one may come twice, and none is left out.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: bash long_poll.sh http://127.0.0.1:8420 CURSOR_FILE" >&2
    exit 2
fi
base=$1
file=$2
wait=${WAIT_SECONDS:-30}
# An answer that takes so much longer than it was asked to does not come any more.
silence=${SILENCE_SECONDS:-10}
# By way of a pipe: a command line can be read by every user of the machine.
authorization=${OLLAMA_FLEET_API_TOKEN:+"Authorization: Bearer $OLLAMA_FLEET_API_TOKEN"}
trap 'exit 0' TERM INT
trap 'kill "${!:-}" 2>/dev/null || true' EXIT

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

retry=1
while :; do
    cursor=$(cat "$file" 2>/dev/null || echo 0)
    # Not a pipeline: a shell that waits for one does not hear SIGTERM.
    exec 3< <(exec curl --silent --connect-timeout 5 --max-time $((wait + silence)) --write-out '\n%{http_code}\n' \
        --header @<(printf '%s\n' "$authorization") "$base/api/events?after=$cursor&limit=500&wait=$wait")
    { IFS= read -r page && IFS= read -r status; } <&3 || status=
    problem=${page##*'"detail": "'} problem=${problem%%'"'*}
    case $status in
    200)
        retry=1 said=
        # The numbers of the page come after its events, and a quote inside of a text is escaped.
        last=${page##*'"last_seq":'}
        last=${last%%[!0-9]*}
        if [ "$last" != "$cursor" ]; then
            printf '%s\n' "$page"
            store "$last"
        fi
        continue
        ;;
    410) complain "Retention has passed the cursor: read the fleet anew." && exit 3 ;;
    409) complain "The cursor is ahead of this log: read the fleet anew." && exit 4 ;;
    4*) complain "$base refuses: $problem" && exit 1 ;;
    5*) complain "$base has no answer now, and is tried again: $problem" ;;
    *) complain "$base does not answer; it is tried again." ;;
    esac
    sleep "$retry"
    retry=$((retry < 4 ? retry * 2 : 4))
done
