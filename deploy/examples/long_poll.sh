#!/bin/sh
# Follows ollama-fleet's events by long poll, a page per line: long_poll.sh http://127.0.0.1:8420 CURSOR_FILE
# A page is printed before the cursor moves: after a crash the last one may come twice, and none is left out.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: sh long_poll.sh http://127.0.0.1:8420 CURSOR_FILE" >&2
    exit 2
fi
base=$1
file=$2
wait=${WAIT_SECONDS:-30}
# An answer that takes so much longer than it was asked to does not come any more.
silence=${SILENCE_SECONDS:-10}
trap 'exit 0' TERM INT
trap 'kill "${!:-}" 2>/dev/null || true; rm -f "$file.page"' EXIT

# By way of a pipe: a command line can be read by every user of the machine.
secret=
if [ -n "${OLLAMA_FLEET_API_TOKEN:-}" ]; then
    secret="header = \"Authorization: Bearer $OLLAMA_FLEET_API_TOKEN\""
fi

store() {
    printf '%s\n' "$1" >"$file.next"
    sync "$file.next"
    mv "$file.next" "$file" # A crash leaves the old cursor or the new one, never half of one.
}

# Say what is wrong once, not at each try.
said=
complain() {
    case $said in *"$1"*) return ;; esac
    said=$said$1
    printf '%s\n' "$1" >&2
}

# The answer and a line with its status are kept in a file: a shell takes minutes to search a text as long as a page.
ask() {
    printf '%s' "$secret" |
        curl --silent --config - --connect-timeout 5 --max-time $((wait + silence)) --write-out '\n%{http_code}\n' \
            "$base/api/events?after=$1&limit=500&wait=$wait" >"$file.page" &
    # A shell that waits like this hears SIGTERM at once.
    wait "$!" || true
}

# A file may hold any bytes, and a piece of it half a letter.
find_in() {
    LC_ALL=C sed -n "s/.*\"$1\": *$2.*/\\1/p"
}

: >"$file.page"
retry=1
while :; do
    cursor=$(cat "$file" 2>/dev/null || echo 0)
    ask "$cursor"
    status=$(tail -n 1 "$file.page")
    case $status in
    200)
        # The numbers of the page come after its events, and a quote inside of a text is escaped.
        last=$(tail -c 300 "$file.page" | find_in last_seq '\([0-9]\{1,\}\)')
        case $last in
        '') complain "$base answers, but not as a fleet's API does; it is tried again." ;;
        *)
            retry=1 said=
            if [ "$last" != "$cursor" ]; then
                sed '$d' "$file.page"
                store "$last"
            fi
            continue
            ;;
        esac
        ;;
    410) complain "Retention has passed the cursor: read the fleet anew." && exit 3 ;;
    409) complain "The cursor is ahead of this log: read the fleet anew." && exit 4 ;;
    000 | '') complain "$base does not answer; it is tried again." ;;
    *)
        problem=$(find_in detail '"\([^"]*\)"' <"$file.page")
        case $status in
        4*) complain "$base refuses: ${problem:-HTTP $status}" && exit 1 ;;
        *) complain "$base has no answer now, and is tried again: ${problem:-HTTP $status}" ;;
        esac
        ;;
    esac
    sleep "$retry" &
    wait "$!"
    retry=$((retry < 4 ? retry * 2 : 4))
done
