"""One run, start to finish, on Ray actors."""
