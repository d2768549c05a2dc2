"""SIGINT or SIGTERM at random moments of long commands: exit 130 and one line, nothing partial, and a retry completes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tests.reliability.example import Example
from tests.reliability.kills import compare_with_undisturbed
from tests.reliability.oracles import hash_data, hash_tree, read_history
from tests.reliability.processes import TIMEOUT_S, Command, Finished, run
from tests.reliability.stage import Fault, Stage, Try, find_failures
from tests.stac_servers import Fault as HttpFault
from tests.stac_servers import serve_faulty_archive

TRIES: Final = 400
INTERRUPTED: Final = 130
_MESSAGE: Final = "Interrupted. Nothing incomplete was recorded; run the same command again to continue.\n"
_WORKERS: Final = ("cut", "boxes", "label", "objects", "update")
"""The mutations that use several processes here."""
READING: Final[dict[str, Command]] = {
    "verify": ("verify",),
    "stats": ("stats", "--at", "v3", "--collection", "chips", "-o", "{out}/stats.json"),
    "export coco": ("export", "coco", "--labels", "bounds", "--at", "v3", "--no-record", "--to", "{out}/coco"),
    "export webdataset": ("export", "webdataset", "--labels", "mask", "--at", "v3", "--no-record", "--to", "{out}/web"),
    "release": ("release", "v3", "--to", "{out}/release"),
    "rerun": ("rerun", "v3"),
    "certify": ("certify", "v1", "--split", "parts", "--to", "{out}/certificate.json"),
    "diff": ("diff", "v1", "v3", "--patch", "{out}/patch.json"),
    "diff page": ("diff", "v1", "v3", "--html", "{out}/diff.html"),
    "report": ("report", "v3", "--html", "{out}/report.html"),
    "plot map": ("plot", "map", "-o", "{out}/map.png"),
    "plot chips": ("plot", "chips", "-o", "{out}/chips.html"),
    "features": ("features", "-o", "{out}/features.gpkg"),
    "rasters": ("rasters", "-o", "{out}/rasters.parquet"),
    "extract": ("extract", "chips", "--at", "v3", "--to", "{out}/extract"),
    "checkout to": ("checkout", "v1", "--to", "{out}/checkout"),
    "reproduce": ("reproduce", "v3", "--to", "{out}/reproduced"),
    "clone": ("clone", "{remote}", "{out}/clone"),
    "push": ("push",),
    "fetch": ("fetch",),
    "pull": ("pull",),
    "gc": ("gc",),
    "audit": ("audit", "{audited}"),
    "switch": ("switch", "other"),
    "merge": ("merge", "other"),
    "apply": ("apply", "{patch}"),
    "download": ("download", "shelf", "--source", "stac", "--source-option", "url={archive}", "--collection", "scenes"),
    "view": ("view", "--no-open"),
}
"""Further commands, by name; what they write beside the dataset is in the folder `out`, which is empty before."""
_ENDLESS: Final = ("view",)
"""Commands that only a signal ends, with exit code 0."""
_ENDLESS_S: Final = 5.0
"""The time in which these are interrupted."""
_WITHOUT_KEY: Final = ("init", "clone", "extract")
"""Commands that make a dataset, and have no key: repeated after they were done, they are refused."""
_UNFINISHED: Final = ("*/.geographer/clone", "*/MANIFEST")
"""The files of an unfinished clone or checkout, by which the same command continues, and verify finds what lacks."""
_WARNINGS: Final = re.compile(r"(([Ww]arning: |Matplotlib is building the font cache|Showing @).*\n)*")
_running: Final = ExitStack()
"""The servers that run until the process ends."""


class Prepared(NamedTuple):
    """What commands start from.

    A dataset with a branch to merge, a copy of it from before its last push, its remote, images to audit, a patch to
    apply, and the URL of an archive that sends slowly.
    """

    root: Path
    behind: Path
    remote: Path
    audited: Path
    patch: Path
    archive: str


class Undisturbed(NamedTuple):
    """An uninterrupted run: its seconds, and the hashes of what it wrote beside the dataset and in it."""

    seconds: float
    written: dict[str, str]
    data: dict[str, str]


def list_cases(stage: Stage) -> list[str]:
    """List the commands that are interrupted, each in turn; of the short form's dataset, only the mutations."""
    steps = [step for step in stage.example.before if step != "end"]
    names = [*steps, *(READING if "import" in stage.example.before else ())]
    return [names[number % len(names)] for number in range(TRIES)]


def attack_case(stage: Stage, one: Try, name: str) -> Iterator[Fault]:
    """Interrupt a command once, or twice in a row; then repeat it to the end, and compare."""
    prepared = None
    if name not in stage.example.before:
        prepared = stage.compute_once("interrupts-prepared", partial(_prepare_datasets, stage.example))
    run_undisturbed = partial(_run_undisturbed, stage.example, prepared, name)
    undisturbed = stage.compute_once(f"{name}-undisturbed", run_undisturbed)
    root, command = _prepare_command(stage.example, prepared, name, one)
    out = one.folder / "out"
    for _ in range(one.random.choice([1, 1, 2])):
        started = Started(one.folder, root, command)
        started.wait_for_handlers()
        time.sleep(one.random.uniform(0, undisturbed.seconds))
        number = one.random.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM])
        started.send_signal(number)
        if is_twice := one.random.random() < 0.25:
            time.sleep(one.random.uniform(0, 0.2))
            started.send_signal(number)
        finished = started.wait()
        yield from _check_end(finished, is_twice=is_twice)
        if not is_twice:
            yield from _check_leftovers(started, one.folder, finished, undisturbed)
        if finished.code == 0:
            break
    if finished.code != 0 and name not in _ENDLESS:
        # The fork server's processes cannot have workers; their number does not change the outputs.
        (retry,) = run(root, ["1" if word == "2" else word for word in command])
        yield from find_failures([retry])
        if retry.code != 0 and not (name in _WITHOUT_KEY and retry.code == 4):
            yield Fault("lost", f"{retry}")
    if name in stage.example.before:
        yield from compare_with_undisturbed(stage.example, name, root)
        return
    (verify,) = run(root, ("verify",))
    yield from (Fault("lost", f"after the retry {verify}") for _ in range(verify.code != 0))
    if (written := _hash_output(out)) != undisturbed.written:
        different = sorted(written.items() ^ undisturbed.written.items())
        yield Fault("silent", f"other output than without the signal: {different[:3]}")
    if (data := _hash_dataset(root)) != undisturbed.data:
        different = sorted(data.items() ^ undisturbed.data.items())
        yield Fault("silent", f"another dataset than without the signal: {different[:3]}")


def _prepare_command(example: Example, prepared: Prepared | None, name: str, one: Try) -> tuple[Path, Command]:
    """Return a copy of the dataset that a command starts from, and its arguments."""
    (one.folder / "out").mkdir()
    (one.folder / "temporary").mkdir()
    if prepared is None:
        arguments = ["2" if name in _WORKERS and word == "1" else word for word in example.make_command(name)]
        return one.copy_dataset(example.before[name]), arguments
    remote = shutil.copytree(prepared.remote, one.folder / "remote")
    if name == "push":
        shutil.rmtree(remote)
        remote.mkdir()
    root = one.copy_dataset(prepared.behind if name in ("fetch", "pull") else prepared.root)
    (root / ".dvc" / "config.local").write_text(f"['remote \"store\"']\n    url = {remote}\n")
    places = prepared._asdict() | {"out": one.folder / "out", "remote": remote}
    return root, [word.format(**places) for word in READING[name]]


def _prepare_datasets(example: Example, one: Try) -> Prepared:
    """Make a dataset with a described tag, two branches and a remote, and what else commands need."""
    remote, behind, audited, patch = (one.folder / name for name in ("remote", "behind", "audited", "patch.json"))
    remote.mkdir()
    root = one.copy_dataset(example.before["end"])
    commands: list[Command] = [
        ("update", "--on-conflict", "exclude", "--workers", "1"),
        ("dvc", "remote", "add", "--default", "store", str(remote)),
        ("push",),
        ("call", "shutil:copytree", ".", str(behind)),
        ("branch", "other"),
        ("switch", "other"),
        ("add", "classes", "lake"),
        ("cut", "around", "more", "--size", "8", "--workers", "1"),
        ("diff", "main", "other", "--patch", str(patch)),
        ("switch", "main"),
        ("describe", "--intent", "tests", "--ethics", "none"),
        ("tag", "v3"),
        ("push",),
        ("checkout", "v1", "--to", str(audited)),
    ]
    if failed := [str(done) for done in run(root, *commands) if done.code]:
        raise RuntimeError(f"cannot make the datasets whose commands are interrupted: {failed}")
    return Prepared(root, behind, remote, audited, patch, _start_archive(example.inputs))


def _start_archive(inputs: Path) -> str:
    """Serve two scenes over STAC until this process ends, 64 pieces of each in half a second; return the URL."""
    archive = _running.enter_context(serve_faulty_archive())
    for name, west in (("a", 14.99), ("b", 15.0063)):
        file = f"{name}.tif"
        archive.add_item(name, (west, 46.94, west + 0.0163, 46.96), {file: (inputs / file).read_bytes()})
        archive.set_fault(f"{name}/{file}", HttpFault(piece_delay=0.008))
    return archive.url


def _run_undisturbed(example: Example, prepared: Prepared | None, name: str, one: Try) -> Undisturbed:
    root, command = _prepare_command(example, prepared, name, one)
    if name in _ENDLESS:
        return Undisturbed(_ENDLESS_S, {}, _hash_dataset(root))
    start = time.perf_counter()
    finished = Started(one.folder, root, command).wait()
    if finished.code:
        raise RuntimeError(f"a command fails without a signal: {finished}")
    seconds = time.perf_counter() - start
    return Undisturbed(seconds, _hash_output(one.folder / "out"), _hash_dataset(root))


class Started:
    """A command in a real process with a session of its own, whose temporary files lie in `folder`."""

    def __init__(self, folder: Path, root: Path, command: Command) -> None:
        self._command, self._outputs = command, [folder / name for name in ("stdout", "stderr")]
        environment = {**os.environ, "TMPDIR": str(folder / "temporary"), "PYTHONPATH": str(Path(__file__).parents[2])}
        arguments = [sys.executable, "-m", "geographer", *map(str, command)]
        with self._outputs[0].open("wb") as out, self._outputs[1].open("wb") as err:
            self._process = subprocess.Popen(
                arguments,
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def wait_for_handlers(self) -> None:
        """Wait until the process handles SIGTERM: before that, the signal ends Python itself."""
        with suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status")
            while self._process.poll() is None:
                caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
                if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
                    return
                time.sleep(0.005)

    def send_signal(self, number: int) -> None:
        """Send SIGINT to all processes of the group, as a terminal does; another signal to the command, as `kill` does."""
        with suppress(ProcessLookupError):
            if number == signal.SIGINT:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    def wait(self) -> Finished:
        """Wait for the end of the command; kill it if it hangs."""
        try:
            code = self._process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            code = self._process.wait()
        return Finished(self._command, code, *(path.read_text(errors="replace") for path in self._outputs))

    def list_left_processes(self) -> list[str]:
        """Return the processes of the session that go on after two seconds."""
        end = time.monotonic() + 2.0
        while (left := _list_session(self._process.pid)) and time.monotonic() < end:
            time.sleep(0.02)
        return left


def _list_session(session: int) -> list[str]:
    """Return the command lines of the processes of a session, which are no zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, *fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == session and state != "Z":
                found.append((path / "cmdline").read_text().replace("\0", " ").strip())
    return found


def _check_end(finished: Finished, *, is_twice: bool) -> Iterator[Fault]:
    """Yield faults unless the command was done before the signal, or ended with 130 and one line; a second may cut it off."""
    # While Python ends, after the work is done, it no longer handles signals.
    is_ended_by_signal = finished.code in (-signal.SIGINT, -signal.SIGTERM) and _WARNINGS.fullmatch(finished.err)
    if finished.code == 0 or is_ended_by_signal or (is_twice and finished.code == INTERRUPTED):
        return
    if finished.code != INTERRUPTED:
        yield Fault("crash" if finished.code < 0 else "traceback", f"interrupted {finished}")
    elif not finished.err.endswith(_MESSAGE) or not _WARNINGS.fullmatch(finished.err.removesuffix(_MESSAGE)):
        yield Fault("traceback", f"interrupted {finished}: {finished.err[-300:]!r}")


def _check_leftovers(started: Started, folder: Path, finished: Finished, expected: Undisturbed) -> Iterator[Fault]:
    """Yield faults for processes, temporary files and partial outputs that an interrupted command left."""
    if left := started.list_left_processes():
        yield Fault("crash", f"processes go on after {finished}: {left}")
    if temporary := sorted(path.name for path in (folder / "temporary").iterdir()):
        yield Fault("outside", f"temporary files are left by {finished}: {temporary[:3]}")
    written = _hash_output(folder / "out")
    is_continued = any(True for name in _UNFINISHED for _ in (folder / "out").glob(name))
    if written not in ({}, expected.written) and not is_continued:
        yield Fault("silent", f"a partial output is left by {finished}: {sorted(written)[:3]}")


def _hash_dataset(root: Path) -> dict[str, str]:
    """Return the hashes of a dataset: of its content, the kinds of its events, and its files."""
    history = read_history(root)
    return {"content": history.content_digest, "kinds": " ".join(history.kinds), **hash_data(root)}


def _hash_output(out: Path) -> dict[str, str]:
    """Return the hashes of what a command wrote; of a dataset, those of its data."""
    for log in out.glob("*/.geographer/log.duckdb"):
        return _hash_dataset(log.parents[1])
    return {path: digest for path, digest in hash_tree(out).items() if path != "./"}
