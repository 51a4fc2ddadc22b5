"""`ollama-fleet import-env`: the servers of a `.env`, taken over once."""
