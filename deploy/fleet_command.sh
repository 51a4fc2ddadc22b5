#!/bin/sh
# ollama-fleet with the configuration of this host's services, as their user when root calls it; installed by deploy/install.sh.
program=/opt/ollama-fleet/current/bin/ollama-fleet
settings=/etc/ollama-fleet/ollama-fleet.toml
keyring=/etc/ollama-fleet/keyring
# Who may not read the settings needs none of them to ask an API.
if [ "${OLLAMA_FLEET_API_URL:-}" ] && ! [ -r "$settings" ]; then exec "$program" "$@"; fi
# Only root may read and change the key ring itself. The services' user may read the copy that a running service was given.
if [ "${1:-}" != keys ]; then
    for copy in /run/credentials/ollama-fleet*.service/keyring; do
        if [ -e "$copy" ]; then keyring=$copy; fi
    done
fi
# The services' key ring, so that nobody seals with another one; who may not read it, stores credentials through the API.
if [ -e "$keyring" ]; then export OLLAMA_FLEET_KEYRING_FILE="$keyring"; fi
if [ "$(id -u)" -eq 0 ] && [ "${1:-}" != keys ]; then
    exec runuser -u ollama-fleet -- "$program" --config "$settings" "$@"
fi
exec "$program" --config "$settings" "$@"
