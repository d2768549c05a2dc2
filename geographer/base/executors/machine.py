"""What this process may use of its machine: cores and memory, as scheduler, control groups and kernel limit them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_WORKER_BYTES: Final = 600 << 20
"""What a process needs that makes files: the libraries (170 MB), GDAL's cache of blocks, and the pixels of a batch."""
_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")
_MEMORY: Final = Path("/proc/meminfo")


def count_cores() -> int:
    """Return the number of cores that this process may use, rounded up if its control group has a part of one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _list_groups("cpu"):
        quota, period = _read_words(folder / "cpu.max", 2) or (
            *(_read_words(folder / "cpu.cfs_quota_us", 1) or ["max"]),
            *(_read_words(folder / "cpu.cfs_period_us", 1) or ["1"]),
        )
        if quota.isdecimal() and period.isdecimal():
            cores = min(cores, max(1, math.ceil(int(quota) / int(period))))
    return cores


def read_allowed_memory() -> int:
    """Return the bytes of memory that this process may have: the machine's, or less if a control group limits it."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _list_groups("memory"):
        words = _read_words(folder / "memory.max", 1) or _read_words(folder / "memory.limit_in_bytes", 1)
        limits += [int(word) for word in words if word.isdecimal() and int(word) > 0]
    return min(limits)


def read_free_memory() -> int | None:
    """Return the bytes of memory that this process may still take; None if the system does not say."""
    limits = [free for folder in _list_groups("memory") if (free := _read_free_in_group(folder)) is not None]
    with suppress(OSError):
        for line in _MEMORY.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) << 10)
    return min(limits, default=None)


def count_workers_in_memory() -> int:
    """Return how many processes that make files fit into the free memory."""
    free = read_free_memory()
    return (1 << 16) if free is None else free // _WORKER_BYTES


def _list_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and of those that contain it, of version 1 or 2."""
    with suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            _, controllers, path = (*line.split(":", 2), "", "")[:3]
            if controllers and controller not in controllers.split(","):
                continue
            base = _GROUPS / controller if controllers else _GROUPS
            folder = base / path.lstrip("/")
            yield from (parent for parent in (folder, *folder.parents) if parent == base or base in parent.parents)


def _read_free_in_group(folder: Path) -> int | None:
    """Return the limit of a control group less what it uses; the kernel takes its cache of files back when needed."""
    limit = _read_words(folder / "memory.max", 1) or _read_words(folder / "memory.limit_in_bytes", 1)
    used = _read_words(folder / "memory.current", 1) or _read_words(folder / "memory.usage_in_bytes", 1)
    if not limit or not used or not limit[0].isdecimal():
        return None
    cached = 0
    with suppress(OSError):
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            cached = int(value) if name in ("inactive_file", "total_inactive_file") else cached
    return max(0, int(limit[0]) - int(used[0]) + cached)


def _read_words(path: Path, count: int) -> list[str]:
    """Return the first words of a file; an empty list if it has fewer, or does not exist."""
    with suppress(OSError):
        words = path.read_text().split()
        return words[:count] if len(words) >= count else []
    return []
