"""An audit of a dataset with planted leaks finds exactly these, says so in words and in JSON, and always alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import geographer
from geographer.cli import main
from geographer.outputs.audit.leaks import KIND_NAMES
from geographer.outputs.audit.run import audit_dataset
from tests import REPOSITORY
from tests.benchmarks.audit_planted import BUFFER_M, DatasetMaker, compare_report, make_planted_dataset

SCHEMA = json.loads((REPOSITORY / "schemas" / "audit.v1.json").read_text())


def run_audit(capsys, *arguments):
    """Run the command, and return its exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as exit_info:
        main(["audit", *map(str, arguments)])
    return exit_info.value.code, *capsys.readouterr()


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return make_planted_dataset(tmp_path_factory.mktemp("audit_planted"), 12, 3)


@pytest.fixture(scope="module")
def report(planted):
    return audit_dataset(planted.root, buffer=BUFFER_M)


def test_audit_finds_exactly_the_planted_pairs(planted, report):
    assert {kind: len({*counts}) for kind, counts in compare_report(planted, report).items()} == dict.fromkeys(
        ("identical file", "identical pixels", "near duplicate", "overlap", "same file", "too close"), 1
    )
    assert {(f.kind, f.subject) for f in report.findings if f.kind != "distance between subsets"} == planted.faults


def test_shared_area_is_measured_in_square_metres(report):
    areas = sorted(record["shared_area_m2"] for record in report.iter_findings() if record["kind"] == "overlap")
    # 64 pixels of 10 m: 90 %, 50 % and 2 % of 640 m x 640 m in UTM, whose scale is 0.9996 to 1.0001; two turned quarters.
    ground = [640 * 640 * part for part in (0.02, 0.5, 0.9)]
    same_crs = [min(areas, key=lambda area: abs(area - expected)) for expected in ground]
    assert same_crs == pytest.approx(ground, rel=0.02)
    assert all(0.2 * 640 * 640 < area < 0.3 * 640 * 640 for area in areas if area not in same_crs)


def test_command_prints_findings_as_json(planted, capsys):
    code, printed, errors = run_audit(capsys, planted.root, "--buffer", BUFFER_M, "--json")
    assert code == 4
    assert "the subsets leak: 33 pairs" in errors
    records = [json.loads(line) for line in printed.splitlines()]
    validator = Draft202012Validator(SCHEMA)
    assert [error.message for record in records for error in validator.iter_errors(record)] == []
    pairs = [(record["kind"], record["a"], record["b"]) for record in records if "a" in record]
    assert len(pairs) == len(set(pairs)) == records[-1]["leaks"] == 33
    assert records[-1]["kind"] == "summary"
    assert all(a <= b for _, a, b in pairs)
    assert pairs == sorted(pairs, key=lambda pair: (KIND_NAMES.index(pair[0]), *pair[1:]))


def test_workers_find_the_same(planted, report):
    other = audit_dataset(planted.root, buffer=BUFFER_M, workers=2)
    assert list(other.iter_findings()) == list(report.iter_findings())


def test_report_says_what_fails_and_what_was_not_checked(report):
    text = "\n".join(report.format_lines())
    assert "Verdict: IT LEAKS. 33 pairs of images in different subsets share content." in text
    assert "the layout does not say which objects the images show" in text
    assert "<table>" in report._repr_html_()


def test_clean_dataset_passes(tmp_path, capsys):
    maker = DatasetMaker(tmp_path, 5)
    for number in range(4):
        maker.write_image(("train", "test")[number % 2], maker.make_pixels())
    (tmp_path / "split.csv").write_text("".join(f"{name},{subset}\n" for name, subset in maker.rows))
    code, printed, errors = run_audit(capsys, tmp_path)
    assert (code, errors) == (0, "")
    assert "Verdict: no leakage was found in what was checked. Not checked: distance, shared object" in printed


def test_audit_is_importable_from_the_package(tmp_path):
    (tmp_path / "nothing.bin").write_bytes(b"x")
    report = geographer.audit(tmp_path)
    assert report.name_verdict() == "not checked"
    assert Path(report.path) == tmp_path
