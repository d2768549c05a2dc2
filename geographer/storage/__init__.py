"""Storage of a dataset: events, the log and its derived state, queries, the workspace's files, and DVC.

- `events`, `log`: what happened; append-only, chained by digest.
- `state`: tables that SQL derives from the log. `queries`: read them at any revision.
- `author`: who makes a change, by default. `database`: DuckDB connections. `dvc`: file contents by checksum.
- `workspace`: the files of a revision: check them out, verify them.
- `unit_of_work`: one change: store its files, append its event, update state and workspace.
"""
