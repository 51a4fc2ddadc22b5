"""The command `ollama-fleet`: what a person types, and the way in that needs no running API."""

from api.cli.entry import main

__all__ = ["main"]
