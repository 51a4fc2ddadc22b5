"""How it was: uptime, latencies and transitions, for one server or as strips of many."""
