"""The readers of layouts: each returns a `Layout` of a folder, or None if the folder has another one."""
