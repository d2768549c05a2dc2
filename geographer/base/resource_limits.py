"""Resource limits: how much memory a command may use, how much disk for temporary files, and how large parts are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.errors import UsageError

MEMORY_VARIABLE: Final = "GEOGRAPHER_MEMORY_LIMIT"
DISK_VARIABLE: Final = "GEOGRAPHER_DISK_LIMIT"
PARTS_VARIABLE: Final = "GEOGRAPHER_GRAPH_PARTS"
MINIMUM_MEMORY: Final = 500_000_000
"""The least memory limit: Python and the libraries take a good half of it."""
_DEFAULT_MEMORY_SHARE: Final = 0.7
_DEFAULT_DISK_SHARE: Final = 0.5
_UNITS: Final = {
    **{"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40},
}


class ResourceLimits(NamedTuple):
    """Limits of one process, in bytes; `disk` is None for half of what is free where the temporary files lie."""

    memory: int
    disk: int | None = None

    @property
    def query_memory(self) -> int:
        """The memory for DuckDB's buffers: what Python, GEOS, PROJ and Arrow take beside them is left out."""
        return max(self.memory - 250_000_000, self.memory // 3) * 4 // 5


def parse_byte_count(text: str | int, name: str) -> int:
    """Return the bytes of a size such as `8GB`, `512MiB` or `2000000000`; `name` is the option that an error names."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]*)", str(text).strip().lower().replace(" ", ""), re.ASCII)
    if match is None or match[2] not in _UNITS or len(match[1]) > 18:
        raise UsageError(f"invalid {name} '{text}'. Use a number of bytes or a size such as 512MB, 8GB or 16GiB.")
    return int(float(match[1]) * _UNITS[match[2]])


def parse_memory_limit(text: str | int, name: str = "memory limit") -> int:
    """Return a memory limit in bytes; `UsageError` if it is none, or less than a command needs."""
    limit = parse_byte_count(text, name)
    if limit < MINIMUM_MEMORY:
        raise UsageError(f"{name} {text} is too small. Use at least {MINIMUM_MEMORY // 10**6}MB.")
    return limit


def read_resource_limits(memory: str | int | None = None, disk: str | int | None = None) -> ResourceLimits:
    """Return the limits that are passed, or else those of `GEOGRAPHER_MEMORY_LIMIT` and `GEOGRAPHER_DISK_LIMIT`.

    By default, a process may use 70 % of the memory that the machine has or its cgroup allows.
    """
    from geographer.base.executors.machine import read_allowed_memory

    memory_name = "memory limit" if memory is not None else MEMORY_VARIABLE
    disk_name = "disk limit" if disk is not None else DISK_VARIABLE
    memory = memory if memory is not None else os.environ.get(MEMORY_VARIABLE) or None
    disk = disk if disk is not None else os.environ.get(DISK_VARIABLE) or None
    return ResourceLimits(
        int(read_allowed_memory() * _DEFAULT_MEMORY_SHARE)
        if memory is None
        else parse_memory_limit(memory, memory_name),
        None if disk is None else parse_byte_count(disk, disk_name),
    )


def read_part_setting() -> str:
    """Return the features of a part of the graph that `GEOGRAPHER_GRAPH_PARTS` names; `auto` or `never`."""
    return parse_part_setting(os.environ.get(PARTS_VARIABLE) or "auto", PARTS_VARIABLE)


def parse_part_setting(text: str, name: str) -> str:
    """Return a valid number of features a part, `auto` or `never`; `name` is the option that an error names."""
    if text not in ("auto", "never") and not re.fullmatch(r"[1-9][0-9]{0,14}", text):
        raise UsageError(f"invalid {name} '{text}'. Use auto, never or a number of features such as 500000.")
    return text


def choose_disk_limit(folder: Path, limits: ResourceLimits) -> int:
    """Return the bytes that temporary files in a folder may take."""
    if limits.disk is not None:
        return limits.disk
    import shutil

    try:
        return int(shutil.disk_usage(folder).free * _DEFAULT_DISK_SHARE)
    except OSError:
        return 0


def format_byte_count(count: int) -> str:
    """Return a number of bytes with a unit, such as `8 GB` or `512 MB`."""
    unit, divisor = next(
        ((unit, size) for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)) if count >= size), ("bytes", 1)
    )
    return f"{count / divisor:.3g} {unit}"
