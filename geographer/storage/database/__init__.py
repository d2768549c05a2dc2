"""DuckDB: connections to the log and the state, the dataset folder that holds them, and the sandbox for user SQL."""
