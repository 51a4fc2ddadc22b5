"""`ollama-fleet status`: what is wrong now, decided apart from how it is shown."""
