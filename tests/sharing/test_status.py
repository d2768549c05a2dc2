"""Status of sharing: how lock file and remotes relate to the log, and the files of tags."""

from __future__ import annotations

import json

from geographer import Dataset
from tests.cli.runner import run_command


def test_status_compares_remote_as_last_seen(team):
    """After a push or a clone, the log has no chain of the remote; its head is compared with `main`."""
    ada, bob = Dataset.open(team.ada), team.clone("bob")
    assert [str(dataset.sharing_status().remotes[0])[-8:] for dataset in (ada, bob)] == [" (equal)"] * 2
    ada.add_classes(["lake"])
    (remote,) = ada.sharing_status().remotes
    assert (remote.branch, remote.ahead, remote.behind) == ("origin/main", 1, 0)
    ada.push()
    bob.add_classes(["sea"])
    bob.fetch()
    (remote,) = bob.sharing_status().remotes
    assert (remote.ahead, remote.behind) == (1, 1)


def test_status_names_lock_file_of_unknown_event(team):
    lock_path = team.ada / "geographer.lock"
    lock = json.loads(lock_path.read_text())
    lock_path.write_text(json.dumps({**lock, "head": "0" * 64}))
    text = run_command(team.ada, "status")
    assert "lock       geographer.lock is at 000000000000" in text
    assert "tag files  v1: 4 files" in text
