"""Where planner, configurations and queue meet: rungs of a ladder as jobs, forecasts before them, results after."""
