"""Which server for this request: the fleet in memory, the answers, and the catalogue of models."""
