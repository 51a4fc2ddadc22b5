"""`ollama-fleet token …` and `keys …`: who may use the API, and what opens the credentials."""
