"""The loop of a study: runs are planned, forecast, made elsewhere, taken in, and teach the next forecasts."""
