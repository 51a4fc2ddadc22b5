"""What HTTP itself asks for: parameters, bodies, conditions, compressed answers."""
