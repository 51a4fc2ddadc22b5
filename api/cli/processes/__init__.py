"""The commands that run the fleet, together or part by part."""
