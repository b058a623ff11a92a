"""How the database came to look as tables.py says. `HEAD` is the newest revision; a test checks that it is."""

HEAD = "0001"
