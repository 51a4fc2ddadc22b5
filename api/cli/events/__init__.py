"""`ollama-fleet events`: the log read, followed, and told in words."""
