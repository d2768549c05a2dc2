"""History: the log as immutable segments that travel between machines, and the lock file that pins a revision of it.

- `segments`  write events with their rows to a segment; read and check a segment
- `ingest`    take the events of segments into the log, after checking all of them
- `lock_file` the lock file `geographer.lock`: dataset, branch, head, content digest
- `folder`    the folder `history/` with its `.dvc` file: bring it and the lock file up to the head
- `agreement` compare lock file, `history/` and log, and say what goes on where they disagree
"""
