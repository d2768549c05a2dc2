"""Eight processes append to one dataset at once: every acknowledged event is in the log once, and the chain is intact."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Final

from tests.reliability.oracles import read_history
from tests.reliability.processes import Finished, Running, run, run_in_process
from tests.reliability.stage import Fault, Stage, TryFaults, find_failures

PROCESSES, TRIES = 8, 1600
_CONFLICT: Final = 4
_MAX_ATTEMPTS: Final = 100


def run_attack(stage: Stage) -> Iterator[TryFaults]:
    """Append from all processes; a try is an append, and all faults are those of the first."""
    tries = stage.count_tries(TRIES)
    processes = min(tries, PROCESSES)
    yield 0, list(check_appends(stage, processes, tries // processes))
    yield from ((number, []) for number in range(1, tries // processes * processes))


def check_appends(stage: Stage, processes: int, count: int) -> Iterator[Fault]:
    """Let each process append `count` events; a conflict is repeated, and no other failure is allowed."""
    one = stage.make_try("appends")
    root = one.copy_dataset(stage.example.before["cut"])
    before = read_history(root).digests
    command = ("call", "tests.reliability.appends:append_classes")
    acknowledged: Counter[str] = Counter()
    for process in [Running(root, (*command, str(number), str(count))) for number in range(processes)]:
        (done,) = process.wait(timeout_s=60 + 20.0 * count)
        appends = [Finished(*json.loads(line)) for line in done.out.splitlines()]
        yield from find_failures([done, *appends])
        yield from (Fault("lost", f"an append failed: {append}") for append in appends if append.code)
        acknowledged.update(json.loads(append.out)["digest"] for append in appends if not append.code)
    history = read_history(root)
    found = Counter(history.digests[len(before) :])
    if history.digests[: len(before)] != before or found != acknowledged:
        different = (found - acknowledged) + (acknowledged - found)
        yield Fault("lost", f"{len(before)} earlier events, or {len(different)} differ from what was acknowledged")
    verify, dvc = run(root, ("verify",), ("dvc", "status"))
    if history.mismatches or verify.code or "up to date" not in dvc.out:
        yield Fault("silent", f"{history.mismatches[:5]}; {verify}; {dvc}")
    yield from find_failures([verify])
    yield from one.find_changes_outside(root)


def append_classes(process: str, count: str) -> None:
    """Append classes one by one in the current folder, and print what each command printed; repeat it on a conflict."""
    for index in range(int(count)):
        name = f"process{process}-class{index}"
        for _ in range(_MAX_ATTEMPTS):
            done = run_in_process(("add", "classes", name, "--json", "--idempotency-key", name))
            if done.code != _CONFLICT:
                break
        print(json.dumps(done), flush=True)
