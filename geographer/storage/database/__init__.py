"""DuckDB: connections to the log and the state, the dataset folder that holds them, and the sandbox for user SQL."""

from geographer.storage.database.duckdb_import import import_duckdb

import_duckdb()
