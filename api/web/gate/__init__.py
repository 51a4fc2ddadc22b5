"""Who may ask and for what: tokens, scopes, the gate before every request, and the rotation of keys."""
