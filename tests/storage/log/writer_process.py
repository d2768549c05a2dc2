"""A process that appends to a log, for tests that start several of them, hold them up, or kill them.

`append FOLDER NAME COUNT` appends COUNT classes and says each position once it is durable; `hold FOLDER SECONDS` holds
the log with an unfinished append, then gives it up; `die FOLDER STEP` is killed before STEP of an append.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from itertools import count
from pathlib import Path

from geographer.base.errors import ConflictError
from geographer.storage.database.connection import Database
from geographer.storage.events import CommitInfo, Event, EventDraft, Head
from geographer.storage.log import append as appending
from geographer.storage.log.read import read_head


def head(engine: Database) -> Head:
    with engine.open_connection(log="r") as connection:
        return read_head(connection)


def draft(*names: str, value: int = 1) -> EventDraft:
    """An event that adds a class for each name."""
    rows = ", ".join(f"('added', '{name}', {value})" for name in names)
    relation = f"(VALUES {rows}) AS given (change, class, value)"
    return EventDraft("classes_added", {"request": {"classes": [*names]}}, {"class_change": relation})


def append_class(engine: Database, name: str) -> Event:
    """Append a class after whatever stands last: planned again for as long as others are faster."""
    while True:
        try:
            return appending.append_event(engine, draft(name), CommitInfo("Ada"), head(engine))
        except ConflictError:
            continue


def _append(engine: Database, name: str, many: str) -> None:
    for number in range(int(many)) if many != "endless" else count():
        print(append_class(engine, f"{name}{number}").position, flush=True)


def _hold(engine: Database, seconds: str) -> None:
    with engine.open_connection(log="w") as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO log.class_change VALUES (99, 0, 'added', 'never', 1, '')")
        print("held", flush=True)
        time.sleep(float(seconds))
        print("released", flush=True)
        connection.execute("ROLLBACK")


def _die(engine: Database, step: str) -> None:
    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    before = head(engine)
    setattr(appending, step, killed)
    appending.append_event(engine, draft("lost"), CommitInfo("Ada"), before)


if __name__ == "__main__":
    # DuckDB would import it for nothing, where it is installed.
    sys.modules["pandas"] = None
    {"append": _append, "hold": _hold, "die": _die}[sys.argv[1]](Database(Path(sys.argv[2])), *sys.argv[3:])
