#!/bin/sh
# ollama-fleet with the configuration of this host's services, as their user when root calls it; installed by deploy/install.sh.
set -- /opt/ollama-fleet/current/bin/ollama-fleet --config /etc/ollama-fleet/ollama-fleet.toml "$@"
if [ "$(id -u)" -eq 0 ]; then
    exec runuser -u ollama-fleet -- "$@"
fi
exec "$@"
