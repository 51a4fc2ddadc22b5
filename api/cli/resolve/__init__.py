"""`ollama-fleet resolve`: which server to take, and why."""
