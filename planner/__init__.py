"""What a run costs and how good it gets. See docs/planner.md."""
