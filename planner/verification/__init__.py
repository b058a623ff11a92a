"""Published numbers, computed again: what `ostinato plan verify` and `./scripts/bench planner` show."""
