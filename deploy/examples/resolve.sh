#!/bin/sh
# Asks ollama-fleet which server to take, and sends it a prompt with curl: sh resolve.sh FLEET MODEL PROMPT
# Needs curl and jq. With OLLAMA_FLEET_API_TOKEN, which needs the scopes read and credentials, the answer has `headers`: they
# hold the server's credential, and are empty where there is none.
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
    curl -sS --config - --max-time 10 -G "$fleet/api/resolve" --data-urlencode "model=$model")
where=$(printf '%s' "$answer" | jq -r '.base_url // empty')
if [ -z "$where" ]; then
    printf '%s' "$answer" | jq -r '"\(.code): \(.detail)"' >&2
    exit 1
fi

printf '%s' "$answer" | jq -r '.headers // {} | to_entries[] | "header = \("\(.key): \(.value)" | tojson)"' |
    curl -sS --config - "$where/api/chat" -d "$(
        printf '%s' "$answer" | jq --arg prompt "$prompt" \
            '{model: .model_name, stream: false, messages: [{role: "user", content: $prompt}]}'
    )" | jq -er '.message.content // error(.error)'
