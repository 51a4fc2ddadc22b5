"""`ollama-fleet servers …`: the registry of servers, one server, its check and its history."""
