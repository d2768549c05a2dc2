"""An audit of a release: what it says of itself holds, and each way of tampering is found by the check that should."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from geographer import Dataset
from geographer.outputs.audit.release.licences import find_licence_family
from geographer.outputs.audit.run import audit_dataset
from geographer.outputs.manifest import verify_folder
from tests import REPOSITORY
from tests.sample_keys import write_key

OWN_CHECKS = (
    *("manifest", "files of the tables", "log", "digests"),
    *("tables from the log", "files from the log", "documents from the log"),
    *("Croissant", "RO-Crate", "STAC", "PROV", "certificates", "signatures"),
)


@pytest.fixture(scope="module")
def release(sample_history, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited")
    dataset = Dataset.open(shutil.copytree(sample_history.at_v1, folder / "dataset"))
    licences = {"source": "CC-BY-NC-4.0", "catalogue": "CC0-1.0"}
    dataset.describe(title="Ponds", licence="CC-BY-4.0", intent="x", ethics="y", source_licences=licences)
    dataset.tag("v1", sign=write_key(folder / "key.pem"))
    dataset.write_release("v1", folder / "v1")
    return folder / "v1"


def read_verdicts(folder: Path) -> dict[str, str]:
    return {check.name: str(check.verdict) for check in audit_dataset(folder).checks}


def test_untouched_release_holds(release):
    report = audit_dataset(release)
    verdicts = {check.name: str(check.verdict) for check in report.checks}
    assert {name: verdicts[name] for name in OWN_CHECKS} == dict.fromkeys(OWN_CHECKS, "holds")
    assert verdicts["shared object"] == verdicts["overlap"] == "holds"
    assert report.subsets == {"train": 1, "test": 2}
    assert (report.is_leaking, report.is_damaged) == (False, False)
    schema = Draft202012Validator(json.loads((REPOSITORY / "schemas/audit.v1.json").read_text()))
    assert [error.message for record in report.iter_findings() for error in schema.iter_errors(record)] == []
    conflicts = [finding.detail for finding in report.findings if finding.kind == "licence conflict"]
    assert conflicts == ["CC-BY-NC-4.0 of 'source' forbids commercial use, and the release's CC-BY-4.0 allows it"]


def test_checkout_without_log_says_what_was_not_checked(sample_history, tmp_path):
    Dataset.open(sample_history.at_v1).checkout("v1", to=tmp_path / "v1")
    verdicts = read_verdicts(tmp_path / "v1")
    assert (verdicts["manifest"], verdicts["files of the tables"]) == ("holds", "holds")
    names = ("log", "digests", "tables from the log", "Croissant", "signatures", "licences")
    assert {verdicts[name] for name in names} == {"not checked"}


def update_manifest(folder: Path, *paths: str) -> None:
    """Let the manifest have the SHA-256 of altered files, as a careful forger would."""
    lines = (folder / "MANIFEST").read_text().splitlines()
    digests = {line[66:]: line[:64] for line in lines}
    digests |= {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in paths}
    (folder / "MANIFEST").write_text("".join(f"{digest}  {path}\n" for path, digest in sorted(digests.items())))


def alter_raster(folder: Path) -> list[str]:
    path = "rasters/around/a_p1.tif"
    content = bytearray((folder / path).read_bytes())
    content[-1] ^= 1
    (folder / path).write_bytes(content)
    return [path]


def alter_split(folder: Path) -> list[str]:
    path = "tables/splits.parquet"
    table = pq.read_table(folder / path)
    part = pc.if_else(pc.equal(table["part"], "train"), "test", "train")
    pq.write_table(table.set_column(2, "part", part), folder / path)
    return [path]


def alter_digest(folder: Path) -> list[str]:
    content = json.loads((folder / "revision.json").read_text())
    content["content_digest"] = content["content_digest"][::-1]
    (folder / "revision.json").write_text(json.dumps(content))
    return ["revision.json"]


def alter_components(folder: Path) -> list[str]:
    path = "tables/samples.parquet"
    table = pq.read_table(folder / path)
    pq.write_table(table.set_column(3, "component", pc.add(table["component"], 1)), folder / path)
    return [path]


def alter_ignored_value(folder: Path) -> list[str]:
    content = json.loads((folder / "revision.json").read_text())
    next(iter(content["labels"].values()))["ignore"] = 7
    (folder / "revision.json").write_text(json.dumps(content))
    return ["revision.json"]


def alter_log(folder: Path) -> list[str]:
    """Change the class of a feature in the log."""
    path = next((folder / "history").iterdir())
    file = pq.ParquetFile(path)
    table, metadata = file.read(), file.metadata.metadata
    classes = pc.replace_substring(table["class"], "pond", "lake")
    index = table.schema.get_field_index("class")
    table = table.set_column(index, table.schema.field(index), classes.cast(table.schema.field(index).type))
    schema = table.schema.with_metadata({k: v for k, v in metadata.items() if k == b"geographer_segment"})
    pq.write_table(table.cast(pa.schema(list(schema), schema.metadata)), path)
    return [f"history/{path.name}"]


def alter_certificate(folder: Path) -> list[str]:
    path = folder / "certificates/parts.json"
    content = json.loads(path.read_text())
    content["levels"]["shared_objects"]["objects"] += 1
    path.write_text(json.dumps(content))
    return ["certificates/parts.json"]


def alter_size(folder: Path) -> list[str]:
    content = json.loads((folder / "ro-crate-metadata.json").read_text())
    entity = next(item for item in content["@graph"] if item["@id"] == "README.md")
    entity["contentSize"] = "1"
    (folder / "ro-crate-metadata.json").write_text(json.dumps(content))
    return ["ro-crate-metadata.json"]


def remove_file(folder: Path, path: str) -> list[str]:
    (folder / path).unlink()
    text = (folder / "MANIFEST").read_text().splitlines(keepends=True)
    (folder / "MANIFEST").write_text("".join(line for line in text if path not in line))
    return []


def remove_item(folder: Path) -> list[str]:
    return remove_file(folder, "stac/source/a.json")


def remove_certificate(folder: Path) -> list[str]:
    return remove_file(folder, "certificates/parts.json")


def remove_log(folder: Path) -> list[str]:
    return remove_file(folder, f"history/{next((folder / 'history').iterdir()).name}")


def remove_chip(folder: Path) -> list[str]:
    return remove_file(folder, "rasters/around/a_p1.tif")


def alter_signature_and_methods(folder: Path) -> list[str]:
    """Let METHODS.md have other numbers, and a signature be all zeros."""
    (folder / "METHODS.md").write_text((folder / "METHODS.md").read_text().replace("1", "2"))
    (folder / "signatures/v1.1.sig").write_bytes(bytes(64))
    return ["METHODS.md", "signatures/v1.1.sig"]


@pytest.mark.parametrize(
    ("alter", "check"),
    [
        (alter_raster, "files of the tables"),
        (alter_split, "tables from the log"),
        (alter_components, "tables from the log"),
        (alter_digest, "digests"),
        (alter_ignored_value, "digests"),
        (alter_log, "log"),
        (alter_certificate, "certificates"),
        (alter_size, "RO-Crate"),
        (remove_item, "STAC"),
        (remove_certificate, "certificates"),
        (remove_log, "log"),
        (remove_chip, "files from the log"),
        (alter_signature_and_methods, "documents from the log"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_tampering_is_found(release, tmp_path, alter: Callable[[Path], list[str]], check):
    folder = shutil.copytree(release, tmp_path / "v1")
    changed = alter(folder)
    if changed:
        assert verify_folder(folder)
        update_manifest(folder, *changed)
    report = audit_dataset(folder, near_duplicates=False)
    verdicts = {item.name: str(item.verdict) for item in report.checks}
    assert (verdicts["manifest"], verdicts[check]) == ("holds", "fails")
    assert report.is_damaged


def test_release_without_manifest_is_damaged(release, tmp_path):
    folder = shutil.copytree(release, tmp_path / "v1")
    (folder / "MANIFEST").unlink()
    report = audit_dataset(folder, near_duplicates=False)
    verdicts = {check.name: str(check.verdict) for check in report.checks}
    assert (verdicts["manifest"], verdicts["documents from the log"], report.is_damaged) == ("fails", "holds", True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("MANIFEST", b"\0\xff"),
        ("revision.json", b"[" * 9_999),
        ("geographer.lock", b""),
        ("tables/rasters.parquet", b"\0\xff"),
        ("croissant.json", b"{}"),
    ],
)
def test_damaged_release_ends_in_words(release, tmp_path, name, content):
    folder = shutil.copytree(release, tmp_path / "v1")
    (folder / name).write_bytes(content)
    report = audit_dataset(folder, near_duplicates=False)
    assert report.is_damaged
    assert all(json.dumps(record) for record in report.iter_findings())


@pytest.mark.parametrize(
    ("licence", "family"),
    [
        ("CC-BY-4.0", "open"),
        ("CC0-1.0", "open"),
        ("https://creativecommons.org/licenses/by-sa/4.0/", "share-alike"),
        ("https://spdx.org/licenses/CC-BY-NC-SA-4.0.html", "non-commercial, share-alike"),
        ("CC-BY-NC-ND-4.0", "no derivatives"),
        ("CC-BY-NC-4.0", "non-commercial"),
        ("ODbL-1.0", "share-alike"),
        ("proprietary", None),
        ("various", None),
    ],
)
def test_licence_families(licence, family):
    assert find_licence_family(licence) == family
