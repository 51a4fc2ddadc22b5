"""The event log as it is given out: pages, streams, and what wakes those who wait."""
