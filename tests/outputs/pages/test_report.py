"""Reports: every figure agrees with the log and the tables, nothing is asked for, all is escaped, equal bytes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from geographer import Dataset
from geographer.base.errors import NotFoundError, StorageError, UsageError
from geographer.cli.report import report_command
from geographer.outputs.pages.report import checks
from geographer.outputs.pages.report.leakage import LeakageOptions, read_certificates
from geographer.outputs.pages.report.reproducibility import read_rerun
from geographer.outputs.pages.report.write import ReportOptions, list_report_options
from geographer.outputs.release.sentences import make_title
from tests.outputs.pages.conftest import HOSTILE
from tests.outputs.pages.report_reader import ReportReader
from tests.sample_history import point_geometry, write_features
from tests.sample_keys import write_key

CHECKS = "Checks"
NO_EXAMPLES = {"examples": 0}


@pytest.fixture(scope="module")
def described(described_history):
    return described_history


@pytest.fixture(scope="module")
def result(report_result):
    return report_result


@pytest.fixture(scope="module")
def report(result):
    return ReportReader(result.path)


@pytest.fixture(scope="module")
def tables(described):
    """The log and the state, attached to a connection of its own."""
    connection = duckdb.connect()
    for name in ("log", "state"):
        connection.execute(f"ATTACH '{described}/.geographer/{name}.duckdb' AS {name} (READ_ONLY)")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def tag(tables):
    """Position and digests of the newest tag, as its event records them."""
    query = "SELECT payload FROM log.event WHERE kind = 'revision_tagged' ORDER BY generation DESC LIMIT 1"
    return json.loads(tables.execute(query).fetchone()[0])["tag"]


def find_check(report, name):
    result, detail = report.find_row(CHECKS, name)
    return result, detail


def count_current(tables, table, at, condition="true"):
    query = f"SELECT count(*) FROM state.{table} WHERE valid_from <= $at AND valid_to > $at AND {condition}"
    return f"{tables.execute(query, {'at': at}).fetchone()[0]:,}"


def find_tagged_position(tables, tag):
    query = "SELECT position FROM log.chain JOIN log.event USING (event_key) WHERE digest = $digest"
    return tables.execute(query, {"digest": tag["digest"]}).fetchone()[0]


def test_facts_are_those_of_log_and_state(report, result, tables, tag):
    at = find_tagged_position(tables, tag)
    assert (result.revision, result.digest) == ("v2", tag["digest"])
    assert report.find_row("Digests", "Event digest")[0] == tag["digest"]
    assert report.find_row("Digests", "Content digest")[0] == tag["content_digest"]
    assert report.find_row("Digests", "Merkle root")[0] == tag["merkle_root"]
    counts = {row[0]: row[1] for row in report.tables["Objects of the revision"][1:]}
    chips = "parent_id IS NOT NULL"
    assert counts["features"] == count_current(tables, "feature", at)
    assert counts["rasters"] == count_current(tables, "raster", at)
    assert counts["chips"] == count_current(tables, "raster", at, chips)
    assert (counts["edges"], counts["labels"]) == (
        count_current(tables, "edge", at),
        count_current(tables, "label", at),
    )
    assert counts["events"] == f"{at:,}"
    assert [row[0] for row in report.tables["Tags, newest first"][1:]] == ["v2", "v1"]
    assert "with 2 tags. After the last event" in report.source
    assert "tags" not in counts


def test_version_is_that_of_the_tag(report, tables, tag):
    assert tag["version"] is None
    assert "version <strong>" not in report.source
    assert "none recorded: citations have 2, from the tag's name" in report.texts["what"]


@pytest.mark.parametrize("number", [3, 4, 5])
def test_title_counts_classes_that_it_leaves_out(number):
    facts: Any = SimpleNamespace(
        classes=[SimpleNamespace(name=f"class{place}", features=1) for place in range(number)],
        description=SimpleNamespace(find_text=lambda name: ""),
        features=number,
    )
    subject = {3: "class1 and class2", 4: "class1, class2 and 1 more class", 5: "class1, class2 and 2 more classes"}
    assert make_title(facts) == f"Remote-sensing dataset of class0, {subject[number]} ({number} features)"


def test_check_names_are_documented(report):
    """A name is a claim, so that it reads rightly with each outcome."""
    page = (Path(__file__).parents[3] / "docs" / "evidence.md").read_text()
    names = {row[0].replace("'parts'", "NAME") for row in report.tables[CHECKS][1:]}
    constants = {value for name, value in vars(checks).items() if name.isupper() and isinstance(value, str)}
    assert len(constants) > 10
    assert all(f"| {name} |" in page for name in names | constants)


def test_class_balance_equals_tables(report, tables, tag):
    at = find_tagged_position(tables, tag)
    classes = {row[0]: row[2] for row in report.tables["Features by class"][1:]}
    query = "SELECT class, count(*) FROM state.feature WHERE valid_from <= $at AND valid_to > $at GROUP BY class"
    expected = {name: f"{count:,}" for name, count in tables.execute(query, {"at": at}).fetchall()}
    assert {name: count for name, count in classes.items() if count != "0"} == expected
    caption = "Split 'parts': rasters, and the features that they show by class"
    header, *rows = report.tables[caption]
    found = {
        (part, row[0].removeprefix("class ")): int(value)
        for row in rows[2:]
        for part, value in zip(header[1:], row[1:], strict=True)
    }
    query = """
        SELECT coalesce(part, 'left out'), class, count(DISTINCT feature.feature_id)
        FROM state.split JOIN state.raster USING (raster_id) JOIN state.edge USING (raster_key)
        JOIN state.feature USING (feature_key)
        WHERE split = 'parts' AND greatest(split.valid_from, raster.valid_from, edge.valid_from, feature.valid_from) <= $at
          AND least(split.valid_to, raster.valid_to, edge.valid_to, feature.valid_to) > $at
        GROUP BY ALL
    """
    shown = {(part, name): count for part, name, count in tables.execute(query, {"at": at}).fetchall()}
    assert {key: count for key, count in found.items() if count} == shown


def test_sources_say_who_states_licences(report):
    rows = {row[0]: row[1:] for row in report.tables["Sources of rasters"][1:]}
    assert rows["source"][3:5] == ["CC0-1.0", "the authors (geographer describe)"]
    assert rows["archive"][3:5] == ["⚠ unknown", "no one"]
    result, detail = find_check(report, "licences stated for all sources")
    unknown = sum(int(row[0]) for row in rows.values() if row[3] == "⚠ unknown")
    total = sum(int(row[0]) for row in rows.values())
    assert result == "✗ FAILS"
    assert detail.startswith(f"{unknown} of {total} rasters")


def test_certificate_is_that_of_certify(report, described):
    certificate = Dataset.open(described).certify_split("parts", at="v2").to_dict()
    subsets = {row[0]: int(row[1]) for row in report.tables["Subsets"][1:]}
    assert subsets == certificate["subsets"]
    words = {True: "✓ holds", False: "✗ LEAKS", None: "○ not checked"}
    levels = [row[1] for row in report.tables["Levels"][1:]]
    assert levels == [words[level["holds"]] for level in certificate["levels"].values()]
    assert (
        find_check(report, "no leakage in split 'parts'")[0].casefold()
        == {
            "holds": "✓ holds",
            "leaks": "✗ fails",
        }[certificate["verdict"]]
    )


def test_steps_have_parameters_seeds_and_plugins(report, tables, tag):
    at = find_tagged_position(tables, tag)
    query = "SELECT name, parameters FROM state.recipe WHERE valid_from <= $at AND valid_to > $at"
    recipes = {name: json.loads(text) for name, text in tables.execute(query, {"at": at}).fetchall()}
    rows = {row[0]: row[1:] for row in report.tables["Recipes: each step with its parameters"][1:]}
    assert rows.keys() == recipes.keys()
    assert {name: row[2] for name, row in rows.items()} == {
        name: str(parameters.get("seed", "")) for name, parameters in recipes.items()
    }
    made = {row[0]: row[3] for row in report.tables["Derived files, by the step that made them"][1:]}
    assert made["rasters 'around'"] == made["labels 'mask'"] == "yes"
    assert made["rasters 'cover'"].startswith("with the plugin tests.sample_history:select_ponds")


def test_page_asks_for_nothing_and_escapes_all(report, result):
    assert report.list_addresses() == []
    assert not re.search(r"url\(\s*[\"']?(?!data:|#)", report.source)
    assert not [name for _, attributes in report.elements for name in attributes if name.startswith("on")]
    assert {tag for tag, _ in report.elements} <= ALLOWED_TAGS
    assert report.headings[0] == ("h1", f"Ponds {HOSTILE}")
    assert HOSTILE in report.texts["what"]
    assert len([tag for tag, _ in report.elements if tag == "script"]) == 1
    policy = next(attributes["content"] for _, attributes in report.elements if "http-equiv" in attributes)
    assert "default-src 'none'" in policy
    assert result.bytes == len(report.source.encode())


ALLOWED_TAGS = {
    *("html", "head", "meta", "title", "link", "style", "body", "a", "header", "h1", "h2", "h3", "p", "strong", "main"),
    *(
        "div",
        "nav",
        "ol",
        "ul",
        "li",
        "section",
        "dl",
        "dt",
        "dd",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ),
    *(
        "code",
        "pre",
        "figure",
        "figcaption",
        "img",
        "span",
        "br",
        "footer",
        "script",
        "svg",
        "g",
        "defs",
        "path",
        "use",
    ),
    *("rect", "text", "tspan", "desc", "clippath", "metadata", "line", "circle", "image", "pattern"),
}


def test_structure_serves_screen_readers(report):
    assert [tag for tag, _ in report.headings].count("h1") == 1
    anchors = {attributes["href"][1:] for tag, attributes in report.elements if tag == "a"}
    ids = [attributes["id"] for _, attributes in report.elements if "id" in attributes]
    assert anchors <= {*ids}
    assert {"what", "map", "events", "balance", "leakage", "examples", "sources", "steps"} <= anchors
    assert {"reproducibility", "limits", "cite", "check"} <= anchors
    assert all("alt" in attributes for tag, attributes in report.elements if tag == "img")
    assert all(attributes.get("scope") for tag, attributes in report.elements if tag == "th")
    assert len(report.tables) > 10
    assert all(len(row) == len(rows[0]) for rows in report.tables.values() for row in rows)


def test_commands_have_digests_and_quoted_names(report, tag):
    commands = [text for name, text in report.texts.items() if re.fullmatch(r"command-\d+", name)]
    assert f"geographer -C dataset verify v2 --expect {tag['digest']}" in commands
    assert f"geographer -C dataset verify v2 --expect {tag['content_digest']}" in commands
    assert "geographer -C dataset certify v2 --split parts --duplicates" in commands
    assert report.texts["bibtex"].startswith("@misc{lovelace")


def test_examples_have_labels_and_bounds(report, described):
    images = [attributes for tag, attributes in report.elements if tag == "img"]
    chips = [attributes["alt"] for attributes in images if str(attributes["alt"]).startswith("Chip ")]
    parts = {row["raster_id"]: row["part"] for row in Dataset.open(described).splits(at="v2").to_pylist()}
    assert 0 < len(chips) <= 24
    assert len(chips) == len({*chips})
    for alt in chips:
        match = re.match(r"Chip (\S+), subset (\S+), shows", alt)
        assert match
        assert parts[match[1]] == match[2]
    assert any(str(attributes["alt"]).startswith("Label mask of around/") for attributes in images)


def test_equal_bytes_elsewhere(described, result, tmp_path):
    root = tmp_path / "elsewhere"
    shutil.copytree(described, root, symlinks=True)
    again = Dataset.open(root).write_report("v2", tmp_path / "again.html")
    assert again.path.read_bytes() == result.path.read_bytes()


def test_revision_without_files_or_tag(described, tmp_path):
    """A clone without pixels, at a revision that no tag names."""
    root = tmp_path / "bare"
    shutil.copytree(described, root, ignore=shutil.ignore_patterns("files", "md5", "rasters", "labels", "*.tif"))
    result = Dataset.open(root).write_report("@7", tmp_path / "bare.html", examples=4)
    page = ReportReader(result.path)
    assert (result.revision, "content digest as recorded" in result.unchecked) == ("@7", True)
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert "have no picture here" in page.texts["examples"]
    assert find_check(page, "files as recorded")[0] == "○ not checked"
    stored = page.tables["Files that DVC keeps; the machine is the one that made this page"]
    assert all(row[1] == row[2] for row in stored[1:])
    assert f"geographer -C dataset verify {result.digest} --expect {result.digest}" in page.texts.values()


def test_features_only_with_hostile_names(dataset, tmp_path):
    points = {HOSTILE: (HOSTILE, point_geometry(1, 1)), "x" * 200: ("y" * 200, point_geometry(2, 2))}
    dataset.add_features(write_features(tmp_path / "f.geojson", points), crs="EPSG:32633", message=HOSTILE)
    dataset.tag("v1", message=HOSTILE, sign=write_key(tmp_path / "key.pem"))
    result = dataset.write_report(None, tmp_path / "page.html")
    page = ReportReader(result.path)
    assert page.list_addresses() == []
    assert {tag for tag, _ in page.elements} <= ALLOWED_TAGS
    assert page.find_row("Features by class", HOSTILE)[1] == "1"
    assert result.failed == []
    assert "no leakage between subsets" in result.unchecked
    assert find_check(page, "signature matches the log")[0] == "✓ holds"
    assert page.find_row("Tags, newest first", "v1")[4:6] == [HOSTILE, "1"]


def write_lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_given_files_are_joined(described, result, tmp_path):
    dataset = Dataset.open(described)
    certificate = dataset.certify_split("parts", at="v2").to_dict()
    leak = {"a": "around/a_p1", "b": HOSTILE, "subset_a": "train", "subset_b": "test", "score": 0.9, "identical": False}
    certificate["levels"]["near_duplicates"] = {"holds": False, "reason": None, "pairs": 7, "leaks": [leak]}
    (tmp_path / "certificate.json").write_text(json.dumps(certificate))
    results = {"identical bytes": 3, "identical pixels": 1, "different": 1, "not made": 0}
    file = {"row": "file", "raster_id": "around/a_p2", "path": "p", "result": "different", "reason": HOSTILE}
    summary = {"row": "summary", "position": 1, "digest": result.digest, "files": 5, **results, "events": 1}
    rerun = write_lines(tmp_path / "rerun.json", [file, {**summary, "other plans": 0, "identical": False}])
    options: dict[str, Any] = {"certificates": [tmp_path / "certificate.json"], "reruns": [rerun], **NO_EXAMPLES}
    page = ReportReader(dataset.write_report("v2", tmp_path / "page.html", **options).path)
    leaks = page.tables["Findings: pairs of rasters of different subsets"]
    assert leaks[1][1:5] == ["around/a_p1", "train", HOSTILE, "test"]
    assert "6 more pairs not shown here" in page.texts["leakage"]
    assert find_check(page, "derived files the same in a rerun")[0] == "✗ FAILS"
    assert page.tables["Files that are not as recorded"][1] == ["around/a_p2", "different", HOSTILE]
    assert find_check(page, "no leakage in split 'parts', by a given certificate")[0] == "✗ FAILS"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UsageError),
        (b"\x00\xff", UsageError),
        (b"[]", UsageError),
        (b'{"row": "summary"}', UsageError),
        (b"[" * 100_000, UsageError),
        (None, NotFoundError),
    ],
)
def test_wrong_files_are_refused(tmp_path, content, error):
    path = tmp_path / "given.json"
    if content is not None:
        path.write_bytes(content)
    facts: Any = SimpleNamespace(tag=SimpleNamespace(name="v2", digest="0" * 64))
    for read in (read_rerun, lambda path, facts: read_certificates([path], facts)):
        with pytest.raises(error, match=r"given\.json"):
            read(path, facts)


def test_files_of_other_revisions_are_refused(described, tmp_path):
    dataset = Dataset.open(described)
    dataset.certify_split("parts", at="v1").write(tmp_path / "v1.json")
    with pytest.raises(UsageError, match="not of v2"):
        dataset.write_report("v2", tmp_path / "page.html", certificates=[tmp_path / "v1.json"])


def test_verified_files_are_a_check(described, tmp_path):
    folder = tmp_path / "dataset"
    shutil.copytree(described, folder, symlinks=True)
    dataset = Dataset.open(folder)
    page = tmp_path / "page.html"
    result = dataset.write_report("v2", page, examples=0, verify=True)
    assert "files as recorded" not in [*result.failed, *result.unchecked]
    assert find_check(ReportReader(page), "files as recorded")[-1].endswith("as recorded")
    altered = max((folder / "rasters").rglob("*.tif"), key=lambda path: path.name)
    altered.unlink()
    altered.write_bytes(b"altered")
    failed = dataset.write_report("v2", page, examples=0, verify=True).failed
    assert {*failed} - {*result.failed} == {"files as recorded"}
    assert altered.name in find_check(ReportReader(page), "files as recorded")[-1]


def test_wrong_arguments_change_nothing(described, tmp_path):
    dataset = Dataset.open(described)
    to = tmp_path / "page.html"
    wrong_arguments: list[tuple[tuple[Any, Any], type[Exception], str]] = [
        (("v9", to), NotFoundError, "v9"),
        (("v2", tmp_path), UsageError, "folder"),
        (("v2", described / "geographer.lock"), UsageError, "its own files"),
        (("v2", tmp_path / "no" / "page.html"), StorageError, "no"),
    ]
    for arguments, error, match in wrong_arguments:
        with pytest.raises(error, match=match):
            dataset.write_report(*arguments)
    wrong_options: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"splits": ["no"]}, NotFoundError),
        ({"examples": -1}, UsageError),
        ({"examples": True}, UsageError),
        ({"buffer": -1.0}, UsageError),
        ({"where": "no_column = 1"}, NotFoundError),
    ]
    for options, error in wrong_options:
        with pytest.raises(error):
            dataset.write_report("v2", to, **options)
    assert not [*tmp_path.iterdir()]


def test_command_makes_the_same_page() -> None:
    leakage = LeakageOptions(5.5, duplicates=True, where="class = 'x'")
    options = ReportOptions(["a b"], leakage, 0, [Path("in/rerun.json")], [Path("in/split.json")], verify=True)
    read = report_command.make_context("report", ["--html", "x", *list_report_options(options)]).params
    assert (read["splits"], read["examples"], read["verify"]) == (("a b",), 0, True)
    assert (read["buffer"], read["duplicates"], read["where"]) == leakage
    assert (read["reruns"], read["certificates"]) == (("rerun.json",), ("split.json",))
    assert list_report_options(ReportOptions()) == []


def test_commands_name_a_tag_like_an_option_by_its_digest(dataset: Dataset) -> None:
    dataset.tag("-x")
    dataset.write_report("-x", dataset.root / "page.html")
    text = ReportReader(dataset.root / "page.html").text
    assert "-C dataset verify" in text
    assert " verify -x" not in text
