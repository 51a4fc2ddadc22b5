#!/bin/sh
# Asks ollama-fleet which servers to take, and sends the first a prompt with curl: sh resolve.sh FLEET MODEL PROMPT
# A server may die between the answer and the prompt, so there are candidates: the next one is taken when the connection
# to one is refused or lost. Needs curl and jq. With OLLAMA_FLEET_API_TOKEN, which needs the scopes read and credentials,
# each server has `headers`: they hold its credential, and are empty where there is none.
set -eu

if [ $# -ne 3 ]; then
    echo "usage: sh resolve.sh http://127.0.0.1:8420 MODEL PROMPT" >&2
    exit 2
fi
fleet=$1 model=$2 prompt=$3

# What is secret goes in by a pipe that only curl reads: a command line can be read by every user of the machine.
secret=
if [ -n "${OLLAMA_FLEET_API_TOKEN:-}" ]; then
    secret="header = \"Authorization: Bearer $OLLAMA_FLEET_API_TOKEN\"
data = \"include=credentials\""
fi
answer=$(printf '%s' "$secret" |
    curl -sS --config - --max-time 10 -G "$fleet/api/resolve" --data-urlencode "model=$model" -d candidates=3)
servers=$(printf '%s' "$answer" | jq -c 'select(.base_url) | ., .candidates[]')
if [ -z "$servers" ]; then
    printf '%s' "$answer" | jq -r '"\(.code): \(.detail)"' >&2
    exit 1
fi

# The whole reply is awaited before any of it is printed, so the next server can begin anew.
ask() {
    body=$(printf '%s' "$1" | jq --arg prompt "$prompt" \
        '{model: .model_name, stream: false, messages: [{role: "user", content: $prompt}]}')
    printf '%s' "$1" | jq -r '.headers // {} | to_entries[] | "header = \("\(.key): \(.value)" | tojson)"' |
        curl -sS --config - --connect-timeout 5 -H 'Content-Type: application/json' "$2" -d "$body"
}

printf '%s\n' "$servers" | {
    lost=
    while IFS= read -r server; do
        # A server that has only an OpenAI-style API says so; its answers have another shape.
        where=$(printf '%s' "$server" | jq -r .base_url)
        path=$(printf '%s' "$server" |
            jq -r 'if .server.api == "openai" then "/\(.server.api_version)/chat/completions" else "/api/chat" end')
        if [ -n "$lost" ]; then echo "$lost cannot be reached; the next candidate is $where." >&2; fi
        if reply=$(ask "$server" "$where$path"); then
            if ! printf '%s' "$reply" | jq -e . >/dev/null 2>&1; then
                echo "$where$path answers, but not with JSON: is it a server for models?" >&2
                exit 1
            fi
            printf '%s' "$reply" | jq -er '(.message // .choices[0].message).content // error(.error | .message? // .)'
            exit
        fi
        lost=$where
    done
    echo "No server that the fleet named can be reached. Ask the fleet again in a moment." >&2
    exit 1
}
