"""Progress in notebooks: what a shell with a kernel is sent; and that of a real kernel, which a cell leaves without a trace."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from geographer import Dataset
from geographer.base import progress
from geographer.base.progress import NotebookLine, SpeedGauge, show_notebook_progress
from tests.sample_history import SampleHistory, write_scenes

CELL = """
import time
from geographer import Dataset
from geographer.base import progress

sent = []
publish = progress._send_output
def record_output(data, display_id, *, is_update):
    sent.append(data["text/plain"])
    publish(data, display_id, is_update=is_update)
progress._send_output = record_output

work = Dataset.open("dataset")._unit_of_work
def run_slowly(count, phase):
    for done in range(1, count + 1):
        time.sleep(0.15)
        work.progress(phase, done, count)
run_slowly(6, "chips <cut>")
print(len(sent), sent[0], repr(sent[-1]))
"""
FAILING_CELL = "run_slowly(2, 'fast')\nrun_slowly(5, 'slow')\nwork.progress('never done', 1, 9)\ntime.sleep(0.6)\nwork.progress('never done', 2, 9)\nraise ValueError"


class FakeShell:
    """A shell of IPython with a kernel, which collects the functions that are called after a cell."""

    kernel = object()

    def __init__(self) -> None:
        self.events = self
        self.functions: list[Callable[..., None]] = []

    def register(self, event: str, function: Callable[..., None]) -> None:
        assert event == "post_run_cell"
        self.functions.append(function)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bool]]:
    """What is sent to the notebook: text, HTML, and whether it replaces an output."""
    messages: list[tuple[str, str, bool]] = []

    def record_output(data: dict[str, str], _display_id: str, *, is_update: bool) -> None:
        messages.append((data["text/plain"], data["text/html"], is_update))

    monkeypatch.setattr(progress, "_send_output", record_output)
    return messages


def test_line_is_updated_and_removed(sent: list[tuple[str, str, bool]]):
    now, shell = [0.0], FakeShell()
    line = NotebookLine(lambda: now[0])
    for tenth in range(31):
        now[0] = tenth / 10
        line.report_progress(shell, "chips <cut>", tenth, 30)
    texts = [text for text, _, _ in sent]
    assert texts[0] == "chips <cut>: 5 of 30"
    assert texts[-1] == ""
    # In 2.5 s, four a second, and the last one that removes the line.
    assert len(texts) <= 11
    assert [is_update for *_, is_update in sent] == [False] + [True] * (len(sent) - 1)
    assert "chips &lt;cut&gt;" in sent[0][1]
    assert len(shell.functions) == 1


def test_short_work_shows_nothing(sent: list[tuple[str, str, bool]]):
    now, shell = [0.0], FakeShell()
    line = NotebookLine(lambda: now[0])
    for start in range(5):
        for done in range(1, 5):
            now[0] = start + done / 10
            line.report_progress(shell, f"{done} MB", done, 4)
    assert sent == []


def test_end_of_cell_removes_the_line(sent: list[tuple[str, str, bool]]):
    now, shell = [0.0], FakeShell()
    line = NotebookLine(lambda: now[0])
    for now[0] in (0.0, 1.0):
        line.report_progress(shell, "chips cut", 1, 30)
    assert len(sent) == 1
    for function in shell.functions:
        function(None)
    assert [text for text, *_ in sent][1:] == [""]


@pytest.mark.parametrize("shell", [None, object()])
def test_no_line_outside_notebooks(shell: object, sent: list[tuple[str, str, bool]], monkeypatch: pytest.MonkeyPatch):
    module: Any = ModuleType("IPython")
    module.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setattr(progress, "_line", NotebookLine(iter(range(100)).__next__))
    for done in range(9):
        show_notebook_progress("chips cut", done, 9)
    assert sent == []


def test_kernel_shows_progress_and_removes_it(tmp_path: Path, empty_dataset: Path):
    (tmp_path / "dataset").symlink_to(empty_dataset)
    cells = [nbformat.v4.new_code_cell(source) for source in (CELL, FAILING_CELL)]
    cells[1].metadata["tags"] = ["raises-exception"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell in cells:
        displays = [output for output in cell.outputs if output.output_type == "display_data"]
        assert [output.data["text/plain"] for output in displays] == [""] * len(displays) != []
    (printed,) = [output.text for output in cells[0].outputs if output.output_type == "stream"]
    number, *first = printed.split()
    assert 2 <= int(number) <= 4
    assert first[:2] == ["chips", "<cut>:"]


def test_work_on_files_reports_progress(sample_history: SampleHistory, tmp_path: Path):
    reports: list[tuple[str, int, int]] = []
    dataset = Dataset.open(
        shutil.copytree(sample_history.root, tmp_path / "dataset"), progress=lambda *report: reports.append(report)
    )

    def list_phases(work: Callable[[], object]) -> set[str]:
        reports.clear()
        work()
        assert {phase for phase, done, total in reports if done == total} == {phase for phase, *_ in reports}
        return {phase for phase, *_ in reports}

    assert list_phases(dataset.verify) >= {"files checked", "objects checked"}
    assert list_phases(lambda: dataset.checkout("v1")) >= {"files restored"}
    assert list_phases(lambda: dataset.checkout("v1", to=tmp_path / "copy")) >= {"files restored"}
    dataset.checkout("HEAD")
    rasters = write_scenes(tmp_path / "new", "x", "y", offset=9)
    assert list_phases(lambda: dataset.add_rasters(rasters, collection="more")) >= {"rasters read", "files stored"}


def test_speed_is_that_of_the_last_half_minute():
    gauge = SpeedGauge()
    assert gauge.describe_speed("chips cut", 0, 1000, 0.0) == ""
    assert gauge.describe_speed("chips cut", 20, 1000, 2.0) == "10.0 per second, 98 s left"
    texts = [gauge.describe_speed("chips cut", 20 + 2 * second, 1000, 2.0 + second) for second in range(1, 60)]
    assert texts[-1] == "2.0 per second, 7 min left"
    assert gauge.describe_speed("labels cut", 500, 100_000, 70.0) == ""
    assert gauge.describe_speed("labels cut", 800, 100_000, 72.0) == "150 per second, 11 min left"
    assert gauge.describe_speed("labels cut", 1, 1_000_000, 73.0) == ""
    assert gauge.describe_speed("labels cut", 2, 1_000_000, 75.0) == "0.5 per second, 555.6 h left"
