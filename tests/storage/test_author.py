"""Who the author of an event is: the environment before Git, and Git before the system."""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from pathlib import Path

import pytest

from geographer.storage import author
from geographer.storage.author import complete_environment, read_author


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Git repository of the user Grace, whose own configuration says Ada; the system's user is Linus."""
    for name in ("GEOGRAPHER_AUTHOR", "GIT_AUTHOR_NAME", "GIT_CONFIG_GLOBAL", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("LOGNAME", "linus")
    folder = tmp_path / "repository"
    folder.mkdir()
    for command in ("init --quiet", "config user.name Grace", "config --global user.name Ada"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return folder


def replace_git(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let `git` be a shell script."""
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_git_names_the_author(repository: Path) -> None:
    assert read_author(repository) == "Grace"
    assert read_author(repository / "not" / "created yet") == "Grace"
    assert read_author(repository.parent) == "Ada"


def test_environment_comes_before_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_git(tmp_path, monkeypatch, f"touch '{tmp_path}/ran'")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Barbara")
    assert read_author(repository) == "Barbara"
    monkeypatch.setenv("GEOGRAPHER_AUTHOR", "Margaret")
    assert read_author(repository) == "Margaret"
    assert not (tmp_path / "ran").exists()


def test_system_names_the_author_without_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").unlink()
    assert read_author(tmp_path) == "linus"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_author(repository) == "linus"


def test_hung_git_is_not_waited_for(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_git(tmp_path, monkeypatch, "sleep 60")
    monkeypatch.setattr(author, "_GIT_TIMEOUT_S", 0.2)
    start = time.monotonic()
    assert read_author(repository) == "linus"
    assert time.monotonic() - start < 10


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without names, Git and an entry for the user."""

    def fail(*_: object) -> str:
        raise KeyError("uid not found")

    for name in ("GEOGRAPHER_AUTHOR", "GIT_AUTHOR_NAME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(getpass, "getuser", fail)
    return monkeypatch


def test_author_without_git_and_user_name(nameless, tmp_path):
    assert read_author(tmp_path) == "unknown"
    assert read_author(tmp_path / "missing" / "folder") == "unknown"


def test_author_that_is_not_utf8(nameless, tmp_path):
    nameless.setenv("GEOGRAPHER_AUTHOR", "Ren\udce9")
    assert read_author(tmp_path) == "Ren�"


def test_environment_is_completed(nameless):
    """DVC asks for the user's name and home folder."""

    def fail(*_: object) -> Path:
        raise RuntimeError("no home folder")

    nameless.setenv("LOGNAME", "")
    nameless.setenv("HOME", "")
    nameless.setattr(Path, "home", fail)
    complete_environment()
    assert (os.environ["LOGNAME"], os.environ["HOME"]) == ("unknown", "/nonexistent")


def test_complete_environment_is_kept(monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    before = dict(os.environ)
    complete_environment()
    assert dict(os.environ) == before
