"""Sizes are parsed strictly, and limits of control groups lower the default."""

from __future__ import annotations

import pytest

from geographer.base.errors import UsageError
from geographer.base.executors import machine
from geographer.base.executors.machine import read_allowed_memory
from geographer.base.resource_limits import (
    MINIMUM_MEMORY,
    ResourceLimits,
    choose_disk_limit,
    format_byte_count,
    parse_byte_count,
    parse_memory_limit,
    read_resource_limits,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8GB", 8 * 10**9), ("1.5 GiB", 3 << 29), ("700mb", 7 * 10**8), (2**40, 2**40), (" 12 ", 12), ("3kB", 3000)],
)
def test_sizes_are_parsed(text, expected):
    assert parse_byte_count(text, "limit") == expected


@pytest.mark.parametrize(
    "text", ["", "GB", "-1GB", "1e9", "8 gigabytes", "nan", "0x10", "1,5GB", "٣GB", "9" * 30, "8GB\n8"]
)
def test_invalid_sizes_are_rejected(text):
    with pytest.raises(UsageError, match="Use a number of bytes or a size such as"):
        parse_byte_count(text, "--disk-limit")


def test_tiny_memory_is_rejected():
    with pytest.raises(UsageError, match=r"is too small\. Use at least 500MB"):
        parse_memory_limit("499MB", "--memory-limit")
    assert ResourceLimits(MINIMUM_MEMORY).query_memory > 100_000_000


def test_limits_come_from_arguments_before_environment(monkeypatch):
    monkeypatch.setenv("GEOGRAPHER_MEMORY_LIMIT", "4GB")
    monkeypatch.setenv("GEOGRAPHER_DISK_LIMIT", "5GB")
    assert read_resource_limits() == ResourceLimits(4 * 10**9, 5 * 10**9)
    assert read_resource_limits("2GB", 7) == ResourceLimits(2 * 10**9, 7)
    monkeypatch.setenv("GEOGRAPHER_MEMORY_LIMIT", "lots")
    with pytest.raises(UsageError, match="invalid GEOGRAPHER_MEMORY_LIMIT 'lots'"):
        read_resource_limits()


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/job/step\n", {"job/memory.max": "1000000000", "job/step/memory.max": "max", "memory.max": "max"}),
        ("4:memory:/job\n0::/\n", {"memory/job/memory.limit_in_bytes": "1000000000"}),
        ("2:cpu:/job\n4:memory:/host/path\n", {"memory/memory.limit_in_bytes": "1000000000"}),
    ],
)
def test_control_groups_limit_memory(tmp_path, monkeypatch, own, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(machine, "_GROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.delenv("GEOGRAPHER_MEMORY_LIMIT", raising=False)
    assert read_allowed_memory() == 10**9
    assert read_resource_limits().memory == 700_000_000


def test_unlimited_control_groups_do_not_matter(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "missing")
    expected = read_allowed_memory()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("9223372036854771712")
    (tmp_path / "own").write_text("4:memory:/\nnonsense\n")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "own")
    assert read_allowed_memory() == expected


def test_disk_limit_is_half_of_free_space(tmp_path):
    assert choose_disk_limit(tmp_path, ResourceLimits(1, 5)) == 5
    assert choose_disk_limit(tmp_path, ResourceLimits(1)) > 0
    assert choose_disk_limit(tmp_path / "missing", ResourceLimits(1)) == 0


@pytest.mark.parametrize(("count", "expected"), [(8 * 10**9, "8 GB"), (1_500_000, "1.5 MB"), (12, "12 bytes")])
def test_sizes_are_formatted(count, expected):
    assert format_byte_count(count) == expected
