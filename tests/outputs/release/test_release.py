"""Releases: every document is valid for the validators of its format, agrees with the tables, and is equal elsewhere."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.outputs.release import write
from geographer.outputs.release.citation import split_name
from geographer.outputs.release.croissant import NEURIPS_PROPERTIES
from geographer.outputs.release.facts import read_facts
from geographer.outputs.release.licences import find_spdx_identifier
from geographer.outputs.release.stac import name_item
from tests.outputs.release import validators
from tests.outputs.release.deposit_server import API_KEY, serve_deposits
from tests.sample_history import write_features

INTENT = "Counting ponds. Not fit for navigation."
ETHICS = "It shows no people."


def read_files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def described(sample_history, tmp_path_factory):
    """The sample dataset at v1, described after the tag."""
    root = shutil.copytree(sample_history.at_v1, tmp_path_factory.mktemp("release") / "dataset")
    dataset = Dataset.open(root)
    dataset.describe(
        title="Ponds of Styria",
        creators=["Ada Lovelace <0000-0002-1825-0097> (University of London)", "Bob"],
        licence="CC-BY-4.0",
        url="https://example.org/ponds",
        intent=INTENT,
        ethics=ETHICS,
        source_licences={"source": "CC0-1.0"},
    )
    return root


@pytest.fixture(scope="module")
def release(described):
    folder = described.parent / "v1"
    result = Dataset.open(described).write_release("v1", folder)
    assert result.warnings == []
    assert result.manifest == hashlib.sha256((folder / "MANIFEST").read_bytes()).hexdigest()
    return folder


@pytest.fixture(scope="module")
def croissant(release):
    return json.loads((release / "croissant.json").read_text())


def test_manifest_covers_every_file(release):
    lines = [line.split("  ", 1) for line in (release / "MANIFEST").read_text().splitlines()]
    content = read_files(release)
    del content["MANIFEST"]
    assert {path: digest for digest, path in lines} == {
        path: hashlib.sha256(data).hexdigest() for path, data in content.items()
    }


def test_ro_crate_is_valid(release, tmp_path):
    validators.seed_context_cache(tmp_path / "contexts")
    assert validators.check_ro_crate(release, tmp_path / "contexts") == []
    broken = json.loads((release / "ro-crate-metadata.json").read_text())
    del next(entity for entity in broken["@graph"] if entity["@id"] == "./")["license"]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ro-crate-metadata.json").write_text(json.dumps(broken))
    assert validators.check_ro_crate(tmp_path / "broken", tmp_path / "contexts")


def test_croissant_is_valid_and_loads_tables(release, croissant):
    dataset = validators.load_croissant(release / "croissant.json")
    for table in ("features", "rasters", "edges", "chips", "labels", "splits", "classes"):
        rows = pq.read_table(release / f"tables/{table}.parquet").num_rows
        assert validators.count_records(dataset, table) == rows > 0
    assert croissant["conformsTo"] == [
        "http://mlcommons.org/croissant/1.1",
        "http://mlcommons.org/croissant/geo/1.0",
        "http://mlcommons.org/croissant/RAI/1.0",
    ]
    assert croissant["version"] == "1.0.0"
    for item in croissant["distribution"]:
        if item["@type"] == "cr:FileObject":
            assert hashlib.sha256((release / item["contentUrl"]).read_bytes()).hexdigest() == item["sha256"]
        else:
            assert [*release.glob(item["includes"])]


def test_geocroissant_has_the_shapes(release, tmp_path):
    assert validators.check_geocroissant(release / "croissant.json") == ""
    document = json.loads((release / "croissant.json").read_text())
    document["geocr:bandConfiguration"]["geocr:totalBands"] = "two"
    (tmp_path / "croissant.json").write_text(json.dumps(document))
    assert "totalBands" in validators.check_geocroissant(tmp_path / "croissant.json")


def test_responsible_ai_is_measured(croissant):
    assert all(croissant[name] not in ("", [], [""]) for name in NEURIPS_PROPERTIES if name != "rai:hasSyntheticData")
    assert croissant["rai:hasSyntheticData"] is False
    assert croissant["rai:dataUseCases"] == [INTENT]
    assert croissant["rai:personalSensitiveInformation"] == [ETHICS]
    assert "pond 50.0%, quarry 50.0%" in croissant["rai:dataBiases"][0]
    assert "seed 0" in croissant["geocr:samplingStrategy"]
    assert croissant["prov:wasDerivedFrom"][1]["sc:license"] == "CC0-1.0"


def test_provenance_names_events_and_sources(release):
    from prov.model import ProvDocument

    document = ProvDocument.deserialize(content=(release / "provenance.json").read_text(), format="json")
    records = json.loads((release / "provenance.json").read_text())
    assert len(records["activity"]) == 8
    derived = {(item["prov:generatedEntity"], item["prov:usedEntity"]) for item in records["wasDerivedFrom"].values()}
    assert ("geographer:rasters-around", "geographer:rasters-source") in derived
    assert ("geographer:labels-mask", "geographer:features") in derived
    assert document == ProvDocument.deserialize(content=document.serialize(format="json"), format="json")


def test_stac_is_valid_and_links_files(release):
    assert validators.check_stac(release / "stac") == []
    item = json.loads((release / "stac/around/a_p1.json").read_text())
    data = release / "stac/around" / item["assets"]["data"]["href"]
    assert item["assets"]["data"]["file:checksum"] == "1220" + hashlib.sha256(data.read_bytes()).hexdigest()
    assert {link["rel"] for link in item["links"]} == {"root", "parent", "collection", "derived_from"}


def test_items_link_the_previous_tag(described, tmp_path):
    dataset = Dataset.open(shutil.copytree(described, tmp_path / "dataset"))
    dataset.tag("v2", version="1.0.1")
    dataset.write_release("v1", tmp_path / "v2")
    dataset.write_release("v2", tmp_path / "v2")
    assert len([*(tmp_path / "v2/history").iterdir()]) == 1
    item = json.loads((tmp_path / "v2/stac/around/a_p1.json").read_text())
    links = [link["href"] for link in item["links"] if link["rel"] == "predecessor-version"]
    assert links == ["https://example.org/ponds/v1/stac/around/a_p1.json"]
    assert item["properties"]["version"] == "1.0.1"


def test_citations_are_valid(release, described):
    validators.check_citation_file(release / "CITATION.cff")
    citation = Dataset.open(described).cite_tag("v1")
    assert citation.cff == (release / "CITATION.cff").read_text()
    assert citation.bibtex == (release / "citation.bib").read_text()
    assert citation.reference.startswith("Ada Lovelace and Bob (2")
    digests = json.loads((release / "revision.json").read_text())
    assert digests["digest"] in citation.reference
    assert digests["content_digest"] in citation.reference


def test_tables_are_geoparquet(release):
    columns = json.loads(pq.read_schema(release / "tables/features.parquet").metadata[b"geo"])["columns"]
    assert columns["geometry"]["encoding"] == "WKB"


def test_example_for_programs_runs(release):
    text = (release / "AGENTS.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    result = subprocess.run([sys.executable, "-c", code], cwd=release, capture_output=True, text=True, check=True)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert len(lines) == 3
    assert all((release / path).is_file() and (release / label).is_file() for _, path, label in lines)


def test_history_gives_the_digests(release):
    segment = next((release / "history").iterdir())
    script = Path(__file__).parents[3] / "docs/recompute_digests.py"
    result = subprocess.run(
        [sys.executable, script, segment.parent, "--quiet"], capture_output=True, text=True, check=True
    )
    assert "0 mismatches" in result.stdout
    kinds = duckdb.sql(
        f"SELECT content->>'$.kind' FROM '{segment}' WHERE row_table = 'event' ORDER BY event"
    ).fetchall()
    assert [kind for (kind,) in kinds][-2:] == ["revision_tagged", "dataset_described"]


def test_other_machine_makes_equal_bytes(described, release, tmp_path):
    remote = tmp_path / "remote"
    dataset = Dataset.open(shutil.copytree(described, tmp_path / "first"))
    subprocess.run(["dvc", "remote", "add", "-d", "origin", str(remote), "-q"], cwd=dataset.root, check=True)
    dataset.push()
    clone = Dataset.clone(str(remote), tmp_path / "second")
    clone.write_release("v1", tmp_path / "elsewhere")
    assert read_files(tmp_path / "elsewhere") == read_files(release)
    before = (release / "MANIFEST").stat().st_mtime_ns
    Dataset.open(described).write_release("v1", release)
    assert read_files(tmp_path / "elsewhere") == read_files(release)
    assert (release / "MANIFEST").stat().st_mtime_ns > before


def test_release_has_the_events_of_merged_branches(dataset, tmp_path):
    dataset.create_branch("topic")
    dataset.switch_branch("topic")
    dataset.describe(title="Merged", intent=INTENT, ethics=ETHICS, author="Bob <bob@example.org>")
    dataset.switch_branch("main")
    dataset.add_classes(["pond"])
    dataset.merge_branch("topic")
    dataset.tag("paper")
    dataset.write_release("paper", tmp_path / "paper")
    script = Path(__file__).parents[3] / "docs/recompute_digests.py"
    command = [sys.executable, script, tmp_path / "paper/history", "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "0 mismatches" in result.stdout
    assert len([*(tmp_path / "paper/history").iterdir()]) == 2
    assert "name: Bob\n" in (tmp_path / "paper/CITATION.cff").read_text()
    loaded = validators.load_croissant(tmp_path / "paper/croissant.json")
    assert [validators.count_records(loaded, table) for table in ("classes", "edges", "splits")] == [1, 0, 0]


def test_spread_is_that_of_the_geometries(dataset, tmp_path):
    box = {"type": "Polygon", "coordinates": [[[179, 10], [-178, 10], [-178, 12], [179, 12], [179, 10]]]}
    features: dict[str, tuple[str, dict]] = {
        "a": ("islet", box),
        "b": ("islet", {"type": "Point", "coordinates": [-170.5, -5.5]}),
    }
    dataset.add_features(write_features(tmp_path / "islets.geojson", features))
    dataset.tag("v1")
    with dataset._unit_of_work.open_revision("v1") as revision:
        facts = read_facts(revision, "v1")
    assert facts.spread.lonlat_bounds == (179, -5.5, -170.5, 12)
    assert (facts.spread.cells, facts.spread.fullest, facts.spread.median_lat) == (2, 1, 2.75)


@pytest.mark.parametrize(
    ("licence", "identifier"),
    [
        ("cc-by-4.0", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by-sa/4.0/deed.de", "CC-BY-SA-4.0"),
        ("CC-BY-5.0", None),
        ("My terms <v2>", None),
    ],
)
def test_licences_are_those_of_spdx(licence, identifier):
    assert find_spdx_identifier(licence) == identifier


@pytest.mark.parametrize("name", ["Lovelace, Ada", "Ada Lovelace"])
def test_names_are_split(name):
    assert split_name(name) == ("Ada", "Lovelace")


def test_deposit_unpacks_to_a_release(described, release, tmp_path, monkeypatch):
    Dataset.open(described).write_release("v1", tmp_path / "deposit", audience="zenodo")
    deposit_with_inveniordm(tmp_path / "deposit", tmp_path, monkeypatch)
    assert all(path.is_file() for path in (tmp_path / "deposit").iterdir())
    dataset = validators.load_croissant(tmp_path / "deposit/croissant.json")
    assert validators.count_records(dataset, "features") == 4
    for archive in (tmp_path / "deposit").glob("*.zip"):
        zipfile.ZipFile(archive).extractall(tmp_path / "deposit")
        archive.unlink()
    unpacked, expected = read_files(tmp_path / "deposit"), read_files(release)
    changed = {path for path in unpacked if unpacked[path] != expected.get(path)}
    assert changed == {".zenodo.json", "MANIFEST", "README.md", "croissant.json", "ro-crate-metadata.json"}
    subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST"], cwd=tmp_path / "deposit", check=True)
    metadata = json.loads(unpacked[".zenodo.json"])["metadata"]
    assert metadata["creators"][0] == {
        "name": "Lovelace, Ada",
        "orcid": "0000-0002-1825-0097",
        "affiliation": "University of London",
    }


def deposit_with_inveniordm(folder, scratch, monkeypatch):
    """Deposit a folder in a repository on loopback by rocrate-inveniordm, and compare what came there."""
    from rocrate_inveniordm.deposit import deposit

    monkeypatch.chdir(scratch)
    with serve_deposits() as (url, deposited):
        monkeypatch.setenv("INVENIORDM_BASE_URL", url)
        monkeypatch.setenv("INVENIORDM_API_KEY", API_KEY)
        deposit(str(folder))
    assert deposited.metadata["metadata"]["title"] == "Ponds of Styria"
    files = read_files(folder)
    assert len(files) < 100
    # What the client lists has no hidden files.
    assert deposited.committed == {path: content for path, content in files.items() if path != ".zenodo.json"}


def test_neurips_croissant_has_absolute_urls(described, tmp_path):
    Dataset.open(described).write_release("v1", tmp_path / "neurips", audience="neurips")
    document = json.loads((tmp_path / "neurips/croissant.json").read_text())
    urls = [item["contentUrl"] for item in document["distribution"] if "contentUrl" in item]
    assert urls
    assert all(url.startswith("https://example.org/ponds/tables/") for url in urls)


def test_release_without_description_changes_nothing(sample_history, tmp_path):
    dataset = Dataset.open(sample_history.at_v1)
    with pytest.raises(UsageError, match=r"intent and ethics.*geographer describe --intent"):
        dataset.write_release("v1", tmp_path / "v1")
    assert not (tmp_path / "v1").exists()


def test_release_needs_a_tag_and_an_empty_folder(described, tmp_path):
    dataset = Dataset.open(described)
    with pytest.raises(NotFoundError, match="no tag 'HEAD'"):
        dataset.write_release("HEAD", tmp_path / "head")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    for audience in (None, "zenodo"):
        with pytest.raises(ConflictError, match="not empty"):
            dataset.write_release("v1", tmp_path / "full", audience=audience)
    with pytest.raises(UsageError, match="the dataset is there"):
        dataset.write_release("v1", described / "labels" / "new")
    assert [*tmp_path.rglob("*")] == [tmp_path / "full", tmp_path / "full/notes.txt"]


def test_interrupted_release_leaves_no_folder(described, tmp_path, monkeypatch):
    def interrupt_work(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "write_catalogue", interrupt_work)
    with pytest.raises(KeyboardInterrupt):
        Dataset.open(described).write_release("v1", tmp_path / "v1")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("raster_id", "name"),
    [("chips/a.b_p", "a.b_p.json"), *((name, "sha256-") for name in ("x/y", "a b", "a%20b", "collection", "a" * 300))],
)
def test_item_names_are_file_names(raster_id, name):
    assert name_item(raster_id, "chips").startswith(name)
