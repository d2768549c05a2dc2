"""Fixtures for pages: the sample history described with a hostile title, and its report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.outputs.pages.report.write import ReportResult
from tests.sample_history import SampleHistory

HOSTILE = "<img src=x onerror=alert(1)>\"'& 🌊"
"""A text that would run if it were not escaped."""


@pytest.fixture(scope="session")
def described_history(sample_history: SampleHistory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample dataset at its head, with a hostile title, and a licence for one of its collections of sources."""
    root = shutil.copytree(sample_history.root, tmp_path_factory.mktemp("report") / "dataset")
    Dataset.open(root).describe(
        title=f"Ponds {HOSTILE}",
        creators=["Ada Lovelace <0000-0002-1825-0097> (University of London)"],
        licence="CC-BY-4.0",
        intent=f"Counting {HOSTILE} {'y' * 300}.",
        ethics="It shows no people.",
        source_licences={"source": "CC0-1.0"},
    )
    return root


@pytest.fixture(scope="session")
def report_result(described_history: Path) -> ReportResult:
    """The report of the newest tag of that dataset."""
    return Dataset.open(described_history).write_report(None, described_history.parent / "report.html")
