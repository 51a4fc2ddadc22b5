"""`ollama-fleet models …`: the catalogue, and switching a model off."""
