"""Models, data, losses and metrics as plain torch. Knows neither Ray nor DeepSpeed."""
