"""How good a run that has not begun will get, with an interval that was measured; and which run to make next."""
