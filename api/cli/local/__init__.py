"""The fleet in a database at hand, reached without an API."""
