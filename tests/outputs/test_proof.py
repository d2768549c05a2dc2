"""Proofs: an outside script confirms each, refuses altered ones, and recomputes the digests of rows from their fields."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from examples import check_proof as script
from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from tests import REPOSITORY
from tests.cli.runner import run_command
from tests.sample_history import HEAD, V1, find_cached_file
from tests.sample_keys import write_key
from tests.test_schemas import REGISTRY, SCHEMAS

OBJECTS = {
    "around/a_q1": "raster:around/a_q1",
    "raster:a": "raster:a",
    "p3": "feature:p3",
    "feature:w1": "feature:w1",
    "label:mask/around/a_q1": "label:mask/around/a_q1",
    "class:quarry": "class:quarry",
    "split:parts/around/a_q1": "split:parts/around/a_q1",
}
UNREADABLE = (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError)
"""What the script turns into an error without a traceback."""


@pytest.fixture(scope="module")
def dataset(sample_history, tmp_path_factory):
    folder = tmp_path_factory.mktemp("proofs")
    dataset = Dataset.open(shutil.copytree(sample_history.root, folder / "dataset"))
    for kind in ("ed25519", "rsa"):
        dataset.tag("v2", sign=write_key(folder / kind, kind, openssh=True))
    return dataset


@pytest.fixture(scope="module")
def roots(dataset):
    """The Merkle root and the log root of each tag."""
    return {row["tag"]: (row["merkle_root"], row["log_root"]) for row in dataset.tags().to_pylist()}


def check_proof(proof, root, *arguments, folder):
    """Return what the script of the examples says about a proof, or None if it refuses the proof."""
    path = folder / "proof.json"
    path.write_text(json.dumps(proof))
    command = [sys.executable, "-I", REPOSITORY / "examples" / "check_proof.py", path, root, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return None if done.returncode else done.stdout


def list_schema_faults(proof):
    errors = Draft202012Validator(SCHEMAS["proof.v1.json"], registry=REGISTRY).iter_errors(
        json.loads(json.dumps(proof))
    )
    return [f"{error.json_path}: {error.message}" for error in errors]


@pytest.mark.parametrize(("name", "shown"), OBJECTS.items())
def test_object_is_proven(dataset, roots, tmp_path, name, shown):
    run_command(dataset.root, "prove", name, "--to", str(tmp_path / "written.json"))
    content = (tmp_path / "written.json").read_text()
    proof = json.loads(content)
    assert len(content) < 10_000
    assert proof == json.loads(json.dumps(dataset.prove_object(name, "v2")))
    assert list_schema_faults(proof) == []
    assert (proof["object"], proof["root"], len(proof["signatures"])) == (shown, roots["v2"][0], 2)
    report = check_proof(proof, roots["v2"][0], folder=tmp_path)
    assert report is not None
    assert report.splitlines() == [
        *(f"{key}: {text}" for key, text in proof["row"]["fields"] if text is not None),
        f"proven: {proof['entry']}",
    ]
    assert check_proof(proof, roots["v1"][0], folder=tmp_path) is None


def test_file_of_chip_is_proven(dataset, roots, tmp_path):
    proof = dataset.prove_object("around/a_q1", "v1")
    file = find_cached_file(dataset.root, proof["file"]["path"], V1)
    assert check_proof(proof, roots["v1"][0], "--file", file, folder=tmp_path) is not None
    assert check_proof(proof, roots["v1"][0], "--file", tmp_path / "proof.json", folder=tmp_path) is None


def test_altered_proofs_are_refused(dataset, roots, tmp_path):
    proof = json.loads(json.dumps(dataset.prove_object("feature:p3", "v2")))
    for alter in (
        lambda altered: altered["row"]["fields"][0].__setitem__(1, "p4"),
        lambda altered: altered["row"]["fields"][2].__setitem__(1, None),
        lambda altered: altered["row"]["fields"][2].__setitem__(0, "crs"),
        lambda altered: altered["row"]["fields"][0].__setitem__(0, "sha256"),
        lambda altered: altered["row"].__setitem__("table", "class_change"),
        lambda altered: altered["path"].__setitem__(0, "0" * 64),
        lambda altered: altered["path"].__setitem__(0, altered["path"][0][:-2]),
        lambda altered: altered["path"].pop(),
        lambda altered: altered["path"].append("0" * 64),
        lambda altered: altered.__setitem__("index", altered["index"] + 1),
        lambda altered: altered.__setitem__("index", str(altered["index"])),
        lambda altered: altered.__setitem__("size", float("nan")),
        lambda altered: altered.__setitem__("size", altered["index"]),
        lambda altered: altered.__setitem__("entry", "feature " + "0" * 64),
        lambda altered: altered.__setitem__("row", None) or altered.__setitem__("entry", "class " + "0" * 64),
        lambda altered: altered.__setitem__("object", "feature:p4"),
        lambda altered: altered.__setitem__("file", {"path": "rasters/a.tif"}),
        lambda altered: altered.__setitem__("root", roots["v1"][0]),
        lambda altered: altered["tag"].__setitem__("merkle_root", roots["v1"][0]),
    ):
        altered = deepcopy(proof)
        alter(altered)
        with pytest.raises((SystemExit, *UNREADABLE)):
            script.check_proof(altered, roots["v2"][0], None, None)
    assert check_proof({}, roots["v2"][0], folder=tmp_path) is None
    assert check_proof(proof, roots["v2"][0], "--old", roots["v1"][1], folder=tmp_path) is None


@pytest.mark.parametrize(
    "content", ["", "[]", "[" * 100_000, '{"size": ' + "9" * 5_000 + "}", "\udcff", '{"path": [], "path": []}', "null"]
)
def test_damaged_documents_are_refused(tmp_path, content):
    (tmp_path / "proof.json").write_text(content, errors="surrogateescape")
    with pytest.raises((SystemExit, *UNREADABLE)):
        script.check_proof(script.read_proof(str(tmp_path / "proof.json")), "0" * 64, None, None)


def test_unprintable_text_cannot_forge_lines(dataset, tmp_path):
    dataset = Dataset.open(shutil.copytree(dataset.root, tmp_path / "dataset"))
    name = "x\u202ey\nproven: feature 0"
    features = {"type": "Feature", "properties": {"id": name}, "geometry": {"type": "Point", "coordinates": [0, 0]}}
    (tmp_path / "one.geojson").write_text(json.dumps(features))
    dataset.add_features(tmp_path / "one.geojson", as_class="quarry")
    dataset.tag("v4")
    proof = dataset.prove_object(f"feature:{name}")
    lines = script.check_proof(json.loads(json.dumps(proof)), proof["root"], None, None)
    assert lines[0] == r"feature_id: 'x\u202ey\nproven: feature 0'"


def test_event_is_proven(dataset, roots, tmp_path):
    digest = dataset.show(3).digest
    for name in ("@3", f"event:{digest[:12]}"):
        proof = dataset.prove_object(name, "v1")
        assert list_schema_faults(proof) == []
        assert (proof["object"], proof["entry"], proof["index"], proof["size"]) == (f"event:{digest}", digest, 2, V1)
        assert check_proof(proof, roots["v1"][1], folder=tmp_path) == f"proven: {digest}\n"
    with pytest.raises(NotFoundError, match=r"the event @9 is after tag 'v1' \(@8\)"):
        dataset.prove_object("@9", "v1")


def test_log_of_tag_is_part_of_later_log(dataset, roots, tmp_path):
    proof = dataset.prove_object("tag:v1", "v2")
    assert list_schema_faults(proof) == []
    assert (proof["first_size"], proof["size"]) == (V1, HEAD - 1)
    report = check_proof(proof, roots["v2"][1], "--old", roots["v1"][1], folder=tmp_path)
    assert (
        report == f"proven: the log with the root {roots['v2'][1]} begins with the one with the root {roots['v1'][1]}\n"
    )
    assert check_proof(proof, roots["v2"][1], "--old", roots["v2"][1], folder=tmp_path) is None
    assert check_proof(proof, roots["v1"][1], "--old", roots["v1"][1], folder=tmp_path) is None
    assert check_proof(proof, roots["v2"][1], folder=tmp_path) is None
    altered = {**proof, "path": [proof["path"][0][::-1], *proof["path"][1:]]}
    assert check_proof(altered, roots["v2"][1], "--old", roots["v1"][1], folder=tmp_path) is None
    altered = {**proof, "first_root": roots["v2"][1]}
    assert check_proof(altered, roots["v2"][1], "--old", roots["v1"][1], folder=tmp_path) is None
    same = dataset.prove_object("tag:v2", "v2")
    assert check_proof(same, roots["v2"][1], "--old", roots["v2"][1], folder=tmp_path) is not None
    with pytest.raises(UsageError, match="Exchange the tags"):
        dataset.prove_object("tag:v2", "v1")


@pytest.mark.parametrize(
    ("name", "at", "error", "message"),
    [
        ("p9", None, NotFoundError, "no object 'p9' in @24"),
        ("q2", "v2", NotFoundError, "no object 'q2'"),
        ("label:mask", None, NotFoundError, "no object"),
        ("recipe:around", None, UsageError, "geographer prove event:DIGEST"),
        ("p1", "@5", NotFoundError, "no tag names the revision '@5'"),
        ("p1", "v9", NotFoundError, "no revision 'v9'"),
        ("tag:v9", None, NotFoundError, "no revision 'v9'"),
        ("event:000000", None, NotFoundError, "no revision"),
    ],
)
def test_missing_objects_and_tags(dataset, name, at, error, message):
    with pytest.raises(error, match=message):
        dataset.prove_object(name, at)


def test_tag_without_roots_needs_new_tag(dataset, monkeypatch):
    from geographer.outputs.proof import prove

    find = prove._find_tag
    monkeypatch.setattr(prove, "_find_tag", lambda *given: _drop_roots(find(*given)))
    for name, noun in (("class:quarry", "Merkle root"), ("@1", "log root"), ("tag:v1", "log root")):
        with pytest.raises(ConflictError, match=f"has no {noun}: .* Set a new tag"):
            dataset.prove_object(name)


def _drop_roots(tag):
    return tag._replace(digests={**tag.digests, "merkle_root": None, "log_root": None})


def test_proof_of_wrong_root_is_refused(dataset, monkeypatch):
    from geographer.outputs.proof import prove

    find = prove._find_tag
    wrong = {"merkle_root": "0" * 64, "log_root": "0" * 64}
    monkeypatch.setattr(
        prove, "_find_tag", lambda *given: find(*given)._replace(digests={**find(*given).digests, **wrong})
    )
    for name in ("class:quarry", "@1"):
        with pytest.raises(CorruptError, match="is not what it records"):
            dataset.prove_object(name)


def test_script_is_self_contained():
    code = Path(REPOSITORY / "examples" / "check_proof.py").read_text()
    imported = {
        line.split()[1].partition(".")[0] for line in code.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported <= sys.stdlib_module_names
