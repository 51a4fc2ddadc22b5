#!/bin/sh
# ollama-fleet with the configuration of this host's services, as their user when root calls it; installed by deploy/install.sh.
program=/opt/ollama-fleet/current/bin/ollama-fleet
settings=/etc/ollama-fleet/ollama-fleet.toml
keyring=/etc/ollama-fleet/keyring
# The services' key ring, so that nobody seals with another one; who may not read it, stores credentials through the API.
if [ -e "$keyring" ]; then export OLLAMA_FLEET_KEYRING_FILE="$keyring"; fi
# Only root may read and change the key ring itself.
if [ "$(id -u)" -eq 0 ] && [ "${1:-}" != keys ]; then
    exec runuser -u ollama-fleet -- "$program" --config "$settings" "$@"
fi
exec "$program" --config "$settings" "$@"
