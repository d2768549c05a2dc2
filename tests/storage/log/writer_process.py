"""A process that appends to a log, for tests that run several of them or kill them.

`append FOLDER NAME COUNT` appends COUNT classes and prints each position once it is durable; `hold FOLDER SECONDS`
holds the log with an unfinished append, then rolls it back; `die FOLDER STEP` is killed before STEP of an append,
`die-in-upgrade FOLDER STEP CALL` before the CALL-th call of STEP of an upgrade.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from geographer.base.errors import ConflictError
from geographer.operations.add.events import ClassesAdded
from geographer.storage.database.connection import Database
from geographer.storage.events import CommitInfo, Event, Head
from geographer.storage.log import append, upgrade
from geographer.storage.log.read import read_head


def read_current_head(database: Database) -> Head:
    with database.open_connection(log="r") as connection:
        return read_head(connection)


def make_class_event(*names: str, value: int = 1) -> tuple[ClassesAdded, dict[str, str]]:
    """Return an event that adds a class for each name, and its rows."""
    rows = ", ".join(f"('added', '{name}', {value})" for name in names)
    relation = f"(VALUES {rows}) AS new_class (change, class, value)"
    return ClassesAdded(request={"classes": [*names]}, classes=[*names]), {"class_change": relation}


def append_class(database: Database, name: str) -> Event:
    """Append a class after the current head; repeat while other processes append first."""
    while True:
        try:
            return append.append_event(
                database, *make_class_event(name), CommitInfo("Ada"), read_current_head(database)
            )
        except ConflictError:
            continue


def _append_classes(database: Database, name: str, limit: str) -> None:
    database = upgrade.open_database(database.file_path("log").parent)
    for number in range(int(limit)) if limit != "endless" else count():
        print(append_class(database, f"{name}{number}").position, flush=True)


def _hold_log(database: Database, seconds: str) -> None:
    with database.open_connection(log="w") as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO log.class_change VALUES (99, 0, 'added', 'never', 1, '')")
        print("held", flush=True)
        time.sleep(float(seconds))
        print("released", flush=True)
        connection.execute("ROLLBACK")


def kill_process(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_upgrade(database: Database, step: str, call: str) -> None:
    owner = upgrade if hasattr(upgrade, step) else Path
    function, calls = getattr(owner, step), count(1)

    def run_step(*arguments: Any, **options: Any) -> Any:
        return (kill_process if next(calls) == int(call) else function)(*arguments, **options)

    setattr(owner, step, run_step)
    upgrade.open_database(database.file_path("log").parent)


def _die_in_append(database: Database, step: str) -> None:
    before = read_current_head(database)
    setattr(append, step, kill_process)
    append.append_event(database, *make_class_event("lost"), CommitInfo("Ada"), before)


if __name__ == "__main__":
    actions: dict[str, Callable[..., None]] = {
        "append": _append_classes,
        "hold": _hold_log,
        "die": _die_in_append,
        "die-in-upgrade": _die_in_upgrade,
    }
    actions[sys.argv[1]](Database(Path(sys.argv[2])), *sys.argv[3:])
