"""Remove operation: plan the events that remove features, rasters or recipes."""
