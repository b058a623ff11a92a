"""The best loss for a budget: model, tokens, machines, layout, batch and checkpoints, chosen together."""
