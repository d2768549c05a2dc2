"""Cores and memory that a process may use, with control groups of version 1 and 2 as the kernel shows them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from geographer.base.errors import UsageError
from geographer.base.executors import machine
from geographer.base.executors.executor import check_workers, count_default_workers, make_executor, resolve_workers
from geographer.base.executors.inline import InlineExecutor
from geographer.base.executors.processes import ProcessExecutor

GB = 1 << 30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of control groups; this process is in `/outer/inner`, and the machine has 8 cores and 16 GB."""
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n5:cpu,cpuacct:/outer\n6:memory:/outer\n")
    memory = tmp_path / "meminfo"
    memory.write_text(f"MemTotal: {20 << 20} kB\nMemAvailable: {16 << 20} kB\n")
    for name, path in (("_GROUPS", tmp_path / "groups"), ("_OWN_GROUPS", own), ("_MEMORY", memory)):
        monkeypatch.setattr(machine, name, path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    for name in ("outer/inner", "cpu/outer", "memory/outer"):
        (tmp_path / "groups" / name).mkdir(parents=True)
    return tmp_path / "groups"


def test_machine_without_limits(groups: Path):
    (groups / "outer" / "cpu.max").write_text("max 100000\n")
    (groups / "outer" / "memory.max").write_text("max\n")
    (groups / "outer" / "memory.current").write_text("5\n")
    assert (machine.count_cores(), machine.read_free_memory()) == (8, 16 * GB)
    assert count_default_workers() == 8


def test_outer_group_of_version_2_limits(groups: Path):
    (groups / "outer" / "cpu.max").write_text("250000 100000\n")
    (groups / "outer" / "memory.max").write_text(f"{4 * GB}\n")
    (groups / "outer" / "memory.current").write_text(f"{3 * GB}\n")
    (groups / "outer" / "memory.stat").write_text(f"anon 1\ninactive_file {GB // 2}\n")
    assert (machine.count_cores(), machine.read_free_memory()) == (3, GB + GB // 2)
    assert count_default_workers() == 2


def test_group_of_version_1_limits(groups: Path):
    (groups / "cpu" / "outer" / "cpu.cfs_quota_us").write_text("50000\n")
    (groups / "cpu" / "outer" / "cpu.cfs_period_us").write_text("100000\n")
    (groups / "memory" / "outer" / "memory.limit_in_bytes").write_text(f"{GB}\n")
    (groups / "memory" / "outer" / "memory.usage_in_bytes").write_text(f"{2 * GB}\n")
    assert (machine.count_cores(), machine.read_free_memory()) == (1, 0)
    assert count_default_workers() == 1


def test_this_machine_has_cores_and_memory():
    assert 1 <= machine.count_cores() <= (os.cpu_count() or 1)
    assert machine.read_free_memory() or 0 > 1 << 20


def test_few_files_run_inline():
    assert isinstance(make_executor(4, count=10), InlineExecutor)
    assert isinstance(make_executor(4, count=1000), ProcessExecutor)
    executor = InlineExecutor()
    assert make_executor(executor) is executor


def test_scheduler_of_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOGRAPHER_SCHEDULER", "tcp://127.0.0.1:1")
    assert resolve_workers(None) == "tcp://127.0.0.1:1"
    assert resolve_workers(3) == 3


@pytest.mark.parametrize("workers", [0, -1, True, 1.5, "two", "127.0.0.1:8786", b"tcp://x:1", object()])
def test_wrong_workers_are_named(workers: object):
    with pytest.raises(UsageError, match=r"invalid (number of workers|scheduler) .*tcp://"):
        check_workers(workers)
