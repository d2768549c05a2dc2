"""kill -9 at random moments of mixed mutations: every acknowledged event is in log.duckdb, and a retry completes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from tests.reliability.example import Example
from tests.reliability.oracles import LOG, hash_data, read_history
from tests.reliability.processes import Finished, Running, run
from tests.reliability.stage import Fault, Stage, Try, find_failures

TRIES: Final = 200
_ACKNOWLEDGED: Final = re.compile(r"^@\d+ ([0-9a-f]{12}) ", re.MULTILINE)


def list_cases(stage: Stage) -> list[str]:
    """List the mutations that are killed: each in turn."""
    steps = [step for step in stage.example.before if step != "end"]
    return [steps[number % len(steps)] for number in range(TRIES)]


def _measure_step(example: Example, step: str, one: Try) -> tuple[float, int]:
    """Return how many seconds a mutation takes, and at how many moments it changes a file or a database."""
    root = one.copy_dataset(example.before[step])
    start = time.perf_counter()
    running = Running(root, example.make_command(step), kill_point=0)
    running.wait()
    return time.perf_counter() - start, running.points


def attack_case(stage: Stage, one: Try, step: str) -> Iterator[Fault]:
    """Kill a mutation once or twice, by time or at a point; then repeat it to the end, and compare."""
    before, command = stage.example.before[step], stage.example.make_command(step)
    root = one.copy_dataset(before)
    seconds, points = stage.compute_once(f"{step}-measured", partial(_measure_step, stage.example, step))
    for _ in range(one.random.choice([1, 1, 2])):
        if one.random.random() < 0.5:
            finished = Running(root, command).wait(timeout_s=one.random.uniform(0, seconds))
        else:
            finished = Running(root, command, kill_point=one.random.randint(1, max(points, 1))).wait()
        for killed in finished:
            if killed.code != -9:
                yield from _check_exit(step, killed)
        yield from _check_log(before, root, finished)
    (retry,) = run(root, command)
    yield from _check_exit(step, retry)
    yield from _check_log(before, root, [retry])
    yield from compare_with_undisturbed(stage.example, step, root)
    yield from one.find_changes_outside(root)


def _check_exit(step: str, done: Finished) -> Iterator[Fault]:
    yield from find_failures([done])
    # There is no key for init: repeated after it was done, it is refused.
    if done.code != 0 and not (step == "init" and done.code == 4):
        yield Fault("lost", f"{done}")


def _check_log(before: Path, root: Path, finished: list[Finished]) -> Iterator[Fault]:
    """Yield a fault unless a copy of log.duckdb alone has every event that a command has acknowledged."""
    expected = read_history(before).digests if (before / LOG).exists() else []
    acknowledged = [digest for done in finished for digest in _ACKNOWLEDGED.findall(done.out)]
    try:
        digests = read_history(root).digests
    except (OSError, duckdb.Error) as error:
        if expected or acknowledged:
            yield Fault("lost", f"log.duckdb cannot be read: {error}")
        return
    missing = [digest for digest in acknowledged if not any(other.startswith(digest) for other in digests)]
    if digests[: len(expected)] != expected or missing:
        yield Fault("lost", f"log.duckdb lacks {missing or 'earlier events'}")


def compare_with_undisturbed(example: Example, step: str, root: Path) -> Iterator[Fault]:
    """Yield faults unless verify and DVC are content, and the dataset equals that of an undisturbed run."""
    verify, dvc = run(root, ("verify", "--json"), ("dvc", "status"))
    findings = [json.loads(line) for line in verify.out.splitlines() if line.startswith('{"what"')]
    others = [finding for finding in findings if not finding["what"].startswith("orphan")]
    if others or (verify.code and not findings):
        yield Fault("lost", f"after the retry {others or verify}")
    if "up to date" not in dvc.out and "no data or pipelines tracked" not in dvc.out:
        yield Fault("silent", f"after the retry {dvc}: {dvc.out.split()}")
    repaired = run(root, ("verify", "--repair"), ("verify",)) if findings else []
    yield from find_failures([verify, *repaired])
    if repaired and repaired[-1].code:
        yield Fault("lost", f"after --repair {repaired[-1]}")
    actual, expected = read_history(root), read_history(example.find_after(step))
    if actual.mismatches or actual.kinds != expected.kinds or actual.content_digest != expected.content_digest:
        yield Fault("silent", f"other content than without the kill: {actual.kinds[-2:]}, {actual.mismatches[:3]}")
    if different := set(hash_data(root).items()) ^ set(hash_data(example.find_after(step)).items()):
        yield Fault("silent", f"other files than without the kill: {sorted(different)[:3]}")
