"""Jobs of one user: submit, watch, take, cancel."""
