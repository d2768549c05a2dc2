"""The process of the command line: exit codes, output that cannot be written, odd environments, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.cli import main

MAIN = [sys.executable, "-m", "geographer"]


def run_main(*arguments: str, code: str = "", **options) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, after some Python code."""
    command = [sys.executable, "-c", f"{code}\nfrom geographer.cli import main\nmain()", *arguments]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "check": False, **options}
    return subprocess.run(command, **settings)


def test_full_disk_of_output_is_reported(empty_dataset: Path):
    with Path("/dev/full").open("w") as full:
        run = run_main("-C", str(empty_dataset), "log", stdout=full)
    assert (run.returncode, run.stderr.splitlines()[1:]) == (6, [])
    assert run.stderr.startswith("Error: ")
    assert "No space left" in run.stderr


def test_closed_pipe_ends_output_quietly(empty_dataset: Path):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        run = run_main("-C", str(empty_dataset), "log", stdout=writer)
    finally:
        os.close(writer)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_in_any_encoding(dataset: Dataset, encoding):
    dataset.add_classes(["lac 日本"])
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    run = run_main("-C", str(dataset.root), "classes", "list", "--json", env=environment, encoding="utf-8")
    assert (run.returncode, run.stderr) == (0, "")
    assert '"class"' in run.stdout


def test_argument_that_is_not_utf8_is_refused(empty_dataset: Path):
    command = [*map(os.fsencode, [*MAIN, "-C", str(empty_dataset), "show"]), b"\xe9t\xe9"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert "is not UTF-8" in run.stderr


def test_deleted_current_folder_is_reported(tmp_path, empty_dataset: Path):
    code = (
        f"import os; os.mkdir({str(tmp_path / 'gone')!r}); os.chdir({str(tmp_path / 'gone')!r}); os.rmdir(os.getcwd())"
    )
    run = run_main("-C", str(empty_dataset), "log", code=code)
    assert (run.returncode, run.stdout) == (3, "")
    assert "the current folder cannot be read" in run.stderr
    assert run_main("--help", code=code.replace("gone", "lost")).returncode == 0


def test_lack_of_memory_is_reported(empty_dataset: Path):
    code = "from geographer.dataset.reader import DatasetReader\ndef fail(_): raise MemoryError\nDatasetReader.status = fail"
    run = run_main("-C", str(empty_dataset), "status", code=code)
    assert (run.returncode, run.stderr) == (6, "Error: not enough memory. End other programs, or use smaller input.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_query_of_several_threads(dataset: Dataset, number):
    """Without an interrupt of its own, DuckDB may wait for the threads until the query is done."""
    query = "SELECT count(*) FROM range(100000000000) AS numbers WHERE hash(numbers.range) = 1"
    code = "import duckdb; print('ready', flush=True)"
    command = [sys.executable, "-c", f"{code}\nfrom geographer.cli import main\nmain()"]
    process = subprocess.Popen(
        [*command, "-C", str(dataset.root), "sql", query], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(2)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in stderr) == (130, False), stderr
    assert stderr.startswith("Interrupted.")


def test_main_leaves_the_signals_of_its_caller(capsys):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(SystemExit):
        main(["--version"])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
