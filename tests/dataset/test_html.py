"""HTML for notebooks: whatever a public method returns has it, and all text in it is escaped."""

from __future__ import annotations

import inspect
import sys
import typing
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from geographer import ChangeResult, Dataset
from geographer.base.html import DisplayedDict, DisplayedList, render_rows, render_value
from geographer.diff.difference import Diff
from geographer.diff.version import DatasetVersion
from geographer.outputs.applicability.map import ApplicabilityMap
from geographer.outputs.certificate.certificate import Certificate
from geographer.outputs.exports.run import ExportResult
from geographer.outputs.impact.report import Impact
from geographer.outputs.pages.diff.build import WrittenDiffPage
from geographer.outputs.pages.report.write import ReportResult
from geographer.outputs.release.citation import Citation
from geographer.outputs.release.write import ReleaseResult
from geographer.outputs.reproduce import ReproduceResult
from geographer.outputs.statistics.results import DatasetStatistics
from geographer.sharing.branches import Branch
from geographer.sharing.collect_garbage import GarbageReport
from geographer.sharing.fetch import FetchResult
from geographer.sharing.push import PushResult
from geographer.sharing.status import SharingStatus
from geographer.storage.queries.table import Table
from geographer.storage.workspace.checkout import CheckoutResult
from geographer.storage.workspace.verify_report import VerifyResult

TAGS = {"table", "caption", "thead", "tbody", "tr", "th", "td", "p", "ul", "li", "br"}
CALLS: dict[str, tuple[Any, ...]] = {
    "log": (),
    "show": ("HEAD",),
    "history": ("p2",),
    "explain_object": ("p2",),
    "blame_pixel": ("mask", "around/a_p2", 8, 8),
    "diff": ("v1", "HEAD"),
    "status": (),
    "sharing_status": (),
    "list_branches": (),
    "compute_version": (),
    "verify": (),
    "rerun_revision": ("v1",),
    "check_archives": (),
    "read_description": (),
    "read_attributes": (),
    "cite_tag": ("v1",),
    "prove_object": ("class:quarry",),
    "read_summary": ("features",),
    **dict.fromkeys(("features", "rasters", "objects", "classes", "tags", "list_reviews", "list_conflicts"), ()),
}
"""Methods that are called, with their arguments; of the others, the declared type of the result is looked at."""
TEXTS = {"format_json_lines", "format_geojson_features", "format_lines", "sql_json_lines"}
PLAIN = (str, int, bool, None, str | None, Any, pa.Table, typing.Self)
"""Types that notebooks show as they are, or, as Arrow's, by a formatter; see `register_arrow_display`."""
NAMES = {
    **{"pa": pa, "Diff": Diff, "DatasetVersion": DatasetVersion, "Impact": Impact, "ReproduceResult": ReproduceResult},
    **{
        "SharingStatus": SharingStatus,
        "VerifyResult": VerifyResult,
        "Branch": Branch,
        "Table": Table,
        "Dataset": Dataset,
    },
    "DatasetStatistics": DatasetStatistics,
    "WrittenDiffPage": WrittenDiffPage,
    **{"ApplicabilityMap": ApplicabilityMap, "Certificate": Certificate, "Citation": Citation},
    **{
        "ExportResult": ExportResult,
        "ReleaseResult": ReleaseResult,
        "ReportResult": ReportResult,
        "FetchResult": FetchResult,
        "PushResult": PushResult,
        "GarbageReport": GarbageReport,
        "CheckoutResult": CheckoutResult,
    },
}
OTHERS = {"prepare_query", "open_raster", "open_label", "read_table", "plan_request", "run_update"}
"""Methods that return a query, a raster, a table or an iterator, or that the command line uses."""


class TagCollector(HTMLParser):
    """Collects the tags of a text of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def list_public_methods() -> list[str]:
    members = inspect.getmembers(Dataset, lambda member: inspect.isfunction(member) or inspect.ismethod(member))
    return [name for name, _ in members if not name.startswith("_") and name not in TEXTS | OTHERS]


@pytest.mark.parametrize("name", list_public_methods())
def test_results_of_public_methods_have_html(name: str, sample_history: Any) -> None:
    if name in CALLS:
        text = getattr(Dataset.open(sample_history.root), name)(*CALLS[name])._repr_html_()
        assert set(TagCollector(text).tags) <= TAGS
        return
    returned: Any = inspect.signature(getattr(Dataset, name)).return_annotation
    if returned is inspect.Signature.empty:
        returned = ChangeResult  # Made from a request.
    elif isinstance(returned, str):
        returned = eval(returned, NAMES)
    assert returned in PLAIN or hasattr(returned, "_repr_html_"), returned


def test_changes_show_what_they_did(dataset: Dataset) -> None:
    result = dataset.add_classes(["<b>lake</b>"])
    texts = TagCollector(result._repr_html_()).texts
    assert {"classes_added", "class <b>lake</b>"} <= set(texts)
    assert "would_change" in TagCollector(dataset.add_classes(["sea"], dry_run=True)._repr_html_()).texts
    assert "ChangeResult" in texts


def test_all_text_is_escaped() -> None:
    text = "<script>\"&'"
    for value in (
        DisplayedDict({text: text, "list": [text], "rows": [{text: text}], "dict": {text: text}}),
        DisplayedList([{text: text}]),
        DisplayedList([text]),
        Table(pa.table({text: [text]})),
        ChangeResult(1, text, text, {"warnings": [text]}, error=None),
    ):
        collected = TagCollector(value._repr_html_())
        assert set(collected.tags) <= TAGS
        assert text in "".join(collected.texts)


def test_long_values_are_shortened() -> None:
    assert render_value("x" * 300).count("x") == 199
    assert TagCollector(render_rows(["a"], [[n] for n in range(30)], 30)).texts[-1] == "30 rows, of which 10 are shown"
    assert render_value([*range(25)]).endswith("<br>and 5 more")
    assert TagCollector(DisplayedList([])._repr_html_()).texts == ["none"]


def test_notebooks_show_results_of_sql(sample_history: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython.core.formatters import DisplayFormatter

    shell = SimpleNamespace(display_formatter=DisplayFormatter())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    result = Dataset.open(sample_history.root).sql("SELECT '<b>' AS name")
    shown, _ = shell.display_formatter.format(result, include=["text/html"])
    assert TagCollector(shown["text/html"]).texts == ["name", "<b>", "1 row"]


def test_geometries_are_named(sample_history: Any) -> None:
    texts = TagCollector(Dataset.open(sample_history.root).features()._repr_html_()).texts
    assert "POLYGON 5 points" in texts
