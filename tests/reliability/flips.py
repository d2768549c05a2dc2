"""Flip single bits of log, state, cache, workspace and .dvc files: `verify` finds each, or it is harmless to the byte."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.reliability.oracles import hash_data
from tests.reliability.processes import Command, Finished, run
from tests.reliability.stage import Fault, Stage, Try, find_failures

TRIES: Final = 1000
GROUPS: Final = {
    "log": r"\.geographer/log\.duckdb",
    "state": r"\.geographer/state\.duckdb",
    "marker": r"\.geographer/workspace\.json",
    "other": r"\.geographer/.*",
    ".dvc": r"(rasters|labels)/.*\.dvc",
    "cache": r"\.dvc/cache/files/.*",
    "workspace": r"(rasters|labels)/.*",
}
"""Patterns of the files that are damaged; a file belongs to the first one. Each has an equal share of the tries."""
VERIFY: Final[Command] = ("verify", "--all")
REVISIONS: Final = ("HEAD", "v1")
QUESTIONS: Final[tuple[Command, ...]] = (
    ("call", "tests.reliability.oracles:read_answers", *REVISIONS),
    ("log", "--json"),
    ("tags", "--json"),
    ("classes", "list", "--json"),
    ("diff", *REVISIONS, "--json"),
    *(("checkout", revision, "--to", f"../../{revision}") for revision in REVISIONS),
)


class Answers(NamedTuple):
    """Each question's exit code and output, the files of the checkouts, and what `verify` said after the questions."""

    finished: list[Finished]
    files: dict[str, str]
    verify: Finished | None


def ask_all(root: Path, verify: Command = VERIFY) -> Answers:
    """Ask the questions first, then `verify`: the answers must be right, even where `verify` rebuilds the state."""
    finished = run(root, *QUESTIONS, ("status",), verify)
    files: dict[str, str] = {}
    for revision in REVISIONS:
        folder = root.parent.parent / revision
        files |= {f"{revision}/{path}": digest for path, digest in hash_data(folder).items()}
        shutil.rmtree(folder, ignore_errors=True)
    return Answers(finished, files, finished[-1] if len(finished) == len(QUESTIONS) + 2 else None)


def ask_intact(stage: Stage) -> Answers:
    """Return the answers about the undamaged dataset."""
    answers: Answers = stage.compute_once("intact", lambda one: ask_all(one.copy_dataset(stage.example.root)))
    if failed := [str(done) for done in answers.finished if done.code]:
        raise RuntimeError(f"commands fail on the undamaged dataset: {failed}")
    return answers


def judge_damage(one: Try, root: Path, expected: Answers, verify: Command = VERIFY) -> Iterator[Fault]:
    """Yield faults unless `verify` reports the damage, or all answers and files are as expected."""
    seen = ask_all(root, verify)
    yield from find_failures(seen.finished)
    if seen.verify is not None and seen.verify.code == 0:
        pairs = list(zip(seen.finished, expected.finished, strict=True))[: len(QUESTIONS) - len(REVISIONS)]
        different = [done for done, other in pairs if (done.code, done.out) != (other.code, other.out)]
        changed = sorted(set(seen.files.items()) ^ set(expected.files.items()))
        if different or changed:
            texts = [*map(str, different), *(name for name, _ in changed[:2])]
            yield Fault("silent", f"verify is content, but answers or files differ: {'; '.join(texts)[:400]}")
    elif seen.verify is not None and seen.verify.code not in (4, 5, 6) and not seen.verify.is_traceback:
        yield Fault("silent", f"{seen.verify}")
    yield from one.find_changes_outside(root)


def list_cases(_stage: Stage) -> list[str]:
    """List the groups of files that are damaged: each in turn."""
    return [[*GROUPS][number % len(GROUPS)] for number in range(TRIES)]


def attack_case(stage: Stage, one: Try, group: str) -> Iterator[Fault]:
    """Flip one bit of a file of the group; its size and modification time stay."""
    root = one.copy_dataset(stage.example.root)
    paths = [path for path in _list_files(root) if _find_group(path.relative_to(root).as_posix()) == group]
    if not paths:
        return
    path = one.random.choice(paths)
    content, status = bytearray(path.read_bytes()), path.stat()
    # Half of the flips hit a byte that is not 0: most of a database file is unused space.
    used = [index for index, byte in enumerate(content) if byte] if one.random.random() < 0.5 else []
    offset, bit = one.random.choice(used or range(len(content))), one.random.randrange(8)
    content[offset] ^= 1 << bit
    path.chmod(status.st_mode | 0o200)
    path.write_bytes(content)
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for fault in judge_damage(one, root, ask_intact(stage)):
        yield fault._replace(text=f"bit {bit} of byte {offset} of {path.relative_to(root)}: {fault.text}")


def _list_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)


def _find_group(name: str) -> str | None:
    return next((group for group, pattern in GROUPS.items() if re.fullmatch(pattern, name)), None)
