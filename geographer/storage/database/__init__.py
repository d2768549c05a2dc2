"""The DuckDB engine under the log and the projection: pinned settings, brief locks, and a person's SQL confined."""
