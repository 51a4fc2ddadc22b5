#!/bin/sh
# ollama-fleet with the configuration of this host's services, as their user when root calls it; installed by deploy/install.sh.
program=/opt/ollama-fleet/current/bin/ollama-fleet
settings=/etc/ollama-fleet/ollama-fleet.toml
if [ "$(id -u)" -ne 0 ]; then exec "$program" --config "$settings" "$@"; fi
# The key ring is root's alone; the services get a copy of it.
if [ "${1:-}" = keys ]; then
    OLLAMA_FLEET_KEYRING_FILE=/etc/ollama-fleet/keyring exec "$program" --config "$settings" "$@"
fi
exec runuser -u ollama-fleet -- "$program" --config "$settings" "$@"
