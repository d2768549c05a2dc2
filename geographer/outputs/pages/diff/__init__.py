"""The page of a difference: flags, map, table, details and chips of two revisions, in one file."""
