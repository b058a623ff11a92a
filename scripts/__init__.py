"""The command line and the entry points; the only place where packages meet."""
