#!/usr/bin/env bash
# Follows ollama-fleet's event stream with curl: consumer.sh http://127.0.0.1:8420 CURSOR_FILE
# An event is printed before the cursor moves: after a crash the last one may come twice, and none is left out.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: bash consumer.sh http://127.0.0.1:8420 CURSOR_FILE" >&2
    exit 2
fi
base=$1
file=$2
# The stream says something every 15 s; a connection that says nothing for this long is dead.
silence=${SILENCE_SECONDS:-40}
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

# Read one connection's lines to its end or its silence; curl adds the last one, a comment with the status.
take() {
    local line id='' problem=''
    while IFS= read -r -t "$silence" line; do
        case $line in
        id:*) id=${line#id:} id=${id# } ;;
        data:*)
            line=${line#data:}
            printf '%s\n' "${line# }"
            ;;
        '')
            if [ -n "$id" ]; then store "$id"; fi
            id=
            ;;
        '{'*) problem=${line##*'"detail": "'} problem=${problem%%'"'*} ;;
        ':status 200') retry=1 said= ;;
        ':status 000') complain "$base does not answer; it is tried again." ;;
        ':status 410') complain "Retention has passed the cursor: read the fleet anew." && exit 3 ;;
        ':status 409') complain "The cursor is ahead of this log: read the fleet anew." && exit 4 ;;
        ':status 4'*) complain "$base refuses: ${problem:-${line#:}}" && exit 1 ;;
        ':status '*) complain "$base cannot stream now, and is tried again: ${problem:-${line#:}}" ;;
        esac
    done
}

retry=1
while :; do
    cursor=$(cat "$file" 2>/dev/null || echo 0)
    # Not a pipeline: a shell that waits for one does not hear SIGTERM.
    exec 3< <(exec curl --silent --no-buffer --connect-timeout 5 \
        --header @<(printf '%s\n' "$authorization") --header "Last-Event-ID: $cursor" \
        --write-out '\n:status %{http_code}\n' "$base/api/events/stream")
    take <&3
    kill "$!" 2>/dev/null || true
    sleep "$retry"
    retry=$((retry < 4 ? retry * 2 : 4))
done
