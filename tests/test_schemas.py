"""Schemas of events: one for every kind; they accept written events and reject changed ones."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from copy import deepcopy
from datetime import datetime
from typing import Any

import msgspec
import pytest
import shapely
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from geographer import Dataset
from geographer.planning.event_schemas import make_payload_schema
from geographer.storage.events import CommitInfo
from geographer.storage.events.payload import list_payload_classes, parse_payload
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.history.lock_file import LOCK_FORMAT, Lock, encode_lock
from geographer.storage.history.published import HEAD_FORMAT, PublishedRevision, encode_published
from geographer.storage.log.append import append_event
from tests import REPOSITORY
from tests.folder_source import FolderSource, add_scene, restore_scene
from tests.old_library import write_directory
from tests.sample_history import point_geometry, write_features
from tests.sample_keys import write_key
from tests.sample_masks import write_mask
from tests.sample_team import LONG
from tests.storage.history.test_segments import require_round_trip

FOLDER = REPOSITORY / "schemas"
CLASSES = {(payload_class.kind, payload_class.version): payload_class for payload_class in list_payload_classes()}
KINDS = dict(sorted(CLASSES))
"""Every kind with its current version."""
SCHEMAS = {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
REGISTRY = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()])

DIGEST = "4e3c9ed629086d46deed67f4a991b2b3d9e02c8ba1ba5f5900a400c0edaf7b2c"
LOCK = Lock(LOCK_FORMAT, DIGEST, "main", DIGEST[::-1], DIGEST)
HEAD = PublishedRevision(HEAD_FORMAT, DIGEST, "main", 7, DIGEST[::-1], DIGEST, f"{DIGEST[:32]}.dir", "tags")
SHARED_FILES = {"lock.v1.json": (encode_lock(LOCK), Lock), "head.v1.json": (encode_published(HEAD), PublishedRevision)}
"""The files that datasets share, by their schemas: an example, and the class that it is parsed to."""
OUTPUT_SCHEMAS = {
    "certificate.v1.json",
    "proof.v1.json",
    "audit.v1.json",
    "rerun.v1.json",
    "impact.v1.json",
    "diff.v1.json",
    "patch.v1.json",
    "conflicts.v1.json",
}
"""The schemas of what commands print with --json; the tests of those commands check them."""

formats = FormatChecker()
formats.checks("date-time", ValueError)(lambda text: bool(datetime.fromisoformat(text).tzinfo))


def find_faults(event):
    """List the violations of the schemas of an event's format, and of the payload of its kind and version."""
    payload = {"$ref": f"{event['kind']}.v{event['version']}.json#/properties/payload"}
    schema = {"$ref": f"event.v{event.get('format', 1)}.json", "properties": {"payload": payload}}
    errors = Draft202012Validator(schema, registry=REGISTRY, format_checker=formats).iter_errors(event)
    return [f"{error.json_path}: {error.message}" for error in errors]


def import_datasets(folder, sample_history):
    """Return the events of a dataset that imports a GeoGrapher 1 directory and the sample dataset."""
    dataset = Dataset.init(folder / "dataset", scm=False)
    vectors = {1: ({"type": "pond"}, shapely.box(0, 0, 1, 1))}
    dataset.import_geographer(write_directory(folder / "old", vectors, {"r": ({}, shapely.box(0, 0, 2, 2))}, {}))
    dataset.import_dataset(sample_history.at_v1, rename={"around": "about"})
    dataset.add_features(
        write_features(folder / "sync.geojson", {"s": ("pond", point_geometry(1, 1))}), crs="EPSG:32633", sync=True
    )
    boxes = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "pond"}]}
    boxes["annotations"] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}]
    (folder / "boxes.json").write_text(json.dumps(boxes))
    dataset.import_coco(folder / "boxes.json", collection="source")
    extracted = Dataset.open(sample_history.root).extract_collection("around", folder / "extracted", scm=False)
    return dataset.log()[1:] + extracted.log()[1:]


def apply_patches(folder, sample_history):
    """Return the events of the sample dataset at v1 that undo its last changes and make them again."""
    dataset = Dataset.open(shutil.copytree(sample_history.at_v1, folder / "patched"))
    for number, sides in enumerate(((8, 3), (3, 8))):
        path = folder / f"{number}.patch"
        dataset.write_patch(*sides, path)
        dataset.apply_patch(path)
    dataset.set_attributes({"sensor": "S2"})
    dataset.add_classes(["haze"], context=True)
    dataset.describe(title="Ponds", creators=["Ada <0000-0002-1825-0097> (UoL)"], source_licences={"source": "CC0-1.0"})
    dataset.export_samples("npy", folder / "npy")
    return dataset.log(6)


def merge_branches(folder):
    """Return the events of a dataset that merges a branch, resolves a conflict, and reverts an event."""
    dataset = Dataset.init(folder / "merged", scm=False)
    places = {"main": 10, "topic": 20, "other": 30}
    for branch, column in places.items():
        path = write_features(
            folder / f"{branch}.geojson",
            {"p": ("pond", point_geometry(column, 5)), branch: ("pond", point_geometry(5, 5))},
        )
        if branch != "main":
            dataset.create_branch(branch, "main")
            dataset.switch_branch(branch)
        dataset.add_features(path, crs="EPSG:32633", replace=branch != "main")
        if branch == "topic":
            dataset.tag("t1")
    dataset.merge_branch("topic")
    dataset.resolve_conflicts(["1"], "theirs")
    dataset.revert_event("HEAD")
    return dataset.log()


def append_unreadable_row(dataset):
    """Append what no command records: a feature without a geometry."""
    added = next(event for event in dataset.log() if event.kind == "features_added")
    row = {"feature_id": "x", "id_is_integer": False, "class": "pond", "crs": "EPSG:4326"}
    rows = {"feature_change": make_row_table("feature_change", {name: [value] for name, value in row.items()})}
    payload, work = parse_payload(added.kind, added.version, added.payload), dataset._unit_of_work
    append_event(work.database, payload, rows, CommitInfo("Ada"), work.read_head())


@pytest.fixture(scope="module")
def changed_dataset(sample_history, tmp_path_factory):
    """The sample dataset with the kinds of events that it lacks, but for imports."""
    folder = tmp_path_factory.mktemp("schemas")
    dataset = Dataset.open(shutil.copytree(sample_history.root, folder / "dataset"))
    dataset.remove_rasters(["a"])
    dataset.restore_rasters(["a"])
    dataset.take_in_rasters(["d"])
    dataset.remove_features(["q1"])
    dataset.restore_features(["q1"])
    dataset.withdraw_rasters(["b"], reason="the licence ended")
    dataset.review_revisions("v1", "v2", verdict="approve", message="as agreed")
    append_unreadable_row(dataset)
    dataset.remove_unreadable()
    dataset.add_labels(
        write_mask(folder / "a.tif"), label="annotated", collection="source", values={1: "pond", 2: None}
    )
    dataset.remove_labels("annotated")
    dataset.tag("v1", sign=write_key(folder / "key.pem"))
    dataset.rename_recipe("mask", "masks")
    dataset.rename_collection("archive", "shelf")
    dataset.rename_class("quay", "pier")
    dataset.rename_class("pier", "quay")
    dataset.remap_classes({"quarry": "pit", "pond": "pit", "quay": None}, prune_rasters=True)
    soft = {"id": "soft", "class": "pit", "prob_of_class_pit": 0.25, "prob_of_class_water": 0.75}
    feature = {"type": "Feature", "properties": soft, "geometry": {"type": "Point", "coordinates": [15.0, 47.0]}}
    path = folder / "soft.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    dataset.add_features(path)
    dataset.set_classes_from_probabilities()
    add_scene(folder / "shelf", "one", column=3_000)
    far = write_features(folder / "far.geojson", {"far": ("pond", point_geometry(3_005, 5))})
    dataset.add_features(far, crs="EPSG:32633")
    add_scene(folder / "shelf", "gone", column=3_000, cloud_cover=0.0, is_missing=True)
    archive: dict[str, Any] = {"source": FolderSource, "source_options": {"folder": str(folder / "shelf")}}
    dataset.download("others", into="others", fall_back=True, **archive)
    restore_scene(folder / "shelf", "gone")
    dataset.download("scenes", **archive)
    dataset.cut_grid("windows", size=16, virtual=True)
    dataset.materialise()
    dataset.run_command(["true"], folder=str(folder))
    return dataset


@pytest.fixture(scope="module")
def events(changed_dataset, sample_history, tmp_path_factory):
    """The events of the sample dataset, of changes of its classes, a download, and imports."""
    folder = tmp_path_factory.mktemp("imports")
    recorded = changed_dataset.log() + import_datasets(folder, sample_history) + apply_patches(folder, sample_history)
    recorded = merge_branches(folder) + recorded
    return [event.to_dict() for event in recorded]


@pytest.fixture(scope="module")
def event_by_kind(events):
    return {event["kind"]: event for event in events}


def test_every_event_kind_has_schema():
    files = {f"{kind}.v{version}.json" for kind, version in CLASSES}
    assert files | {"event.v1.json", "event.v2.json"} | {*SHARED_FILES} | OUTPUT_SCHEMAS == set(SCHEMAS)
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == name


def test_segments_keep_every_event_kind(changed_dataset, tmp_path):
    assert {event.kind for event in changed_dataset.log()} >= {"rasters_withdrawn", "rasters_downloaded"}
    require_round_trip(changed_dataset.root, tmp_path)


def test_written_events_match_schemas(events):
    assert {event["kind"] for event in events} == set(KINDS)
    assert [(event["position"], faults) for event in events if (faults := find_faults(event))] == []


@pytest.mark.parametrize("kind", KINDS)
def test_schema_rejects_unknown_payload_key(kind, event_by_kind):
    event = deepcopy(event_by_kind[kind])
    event["payload"]["colour"] = "blue"
    assert len(find_faults(event)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_schema_requires_payload_keys(kind, event_by_kind):
    for key in event_by_kind[kind]["payload"]:
        event = deepcopy(event_by_kind[kind])
        del event["payload"][key]
        assert find_faults(event), key


@pytest.mark.parametrize("kind", KINDS)
def test_schema_checks_nested_keys(kind, event_by_kind):
    payload = event_by_kind[kind]["payload"]
    for part in payload.keys() & {"request", "recipe", "tag", "review"}:
        for key in payload[part].keys() - {"signed_by"}:
            event = deepcopy(event_by_kind[kind])
            del event["payload"][part][key]
            assert find_faults(event), (part, key)
        event = deepcopy(event_by_kind[kind])
        event["payload"][part]["colour"] = "blue"
        assert find_faults(event), part


def test_schema_of_replacing_additions(event_by_kind):
    for kind, options in (("features_added", {}), ("rasters_added", {"patterns": ["*.tif"], "tags": ["CLOUDS"]})):
        event = deepcopy(event_by_kind[kind])
        event["payload"]["request"] |= {"replace": True, **options}
        event["payload"] |= {"added": 1, "changed": 2, "unchanged": 3}
        assert find_faults(event) == []
        del event["payload"]["unchanged"]
        assert find_faults(event)


@pytest.fixture(scope="module")
def cut_events(events):
    return {event["payload"]["recipe"]["kind"]: event for event in events if event["kind"] == "chips_cut"}


OPTIONAL = {"virtual"}
"""Parameters of cuts that are recorded only if they are set: older versions did not have them."""
CUTS = ("cut around", "cut grid", "cut boxes", "cut cover", "cut own")


@pytest.mark.parametrize("kind", CUTS)
def test_schema_checks_cut_parameters(kind, cut_events):
    assert set(cut_events) == set(CUTS)
    for part in ("recipe", "request"):
        for key in cut_events[kind]["payload"][part]["parameters"].keys() - OPTIONAL:
            event = deepcopy(cut_events[kind])
            del event["payload"][part]["parameters"][key]
            assert find_faults(event), (part, key)
        event = deepcopy(cut_events[kind])
        event["payload"][part]["parameters"]["colour"] = "blue"
        assert find_faults(event), part


@pytest.mark.parametrize("kind", CUTS)
def test_schema_of_run_options(kind, cut_events):
    event = deepcopy(cut_events[kind])
    event["payload"]["request"] |= {"afresh": True, "on_conflict": "move"}
    assert find_faults(event) == []
    event["payload"]["recipe"] |= {"afresh": True}
    assert find_faults(event)


def test_schema_of_cover_without_bound(cut_events):
    event = deepcopy(cut_events["cut cover"])
    event["payload"]["cover"]["bound"] = None
    assert find_faults(event) == []
    event["payload"]["cover"]["kept"] = None
    assert find_faults(event)


@pytest.mark.parametrize("kind", KINDS)
def test_schema_checks_event_fields(kind, event_by_kind):
    for key in event_by_kind[kind].keys() - {"kind", "version", "format"}:
        event = deepcopy(event_by_kind[kind])
        del event[key]
        assert find_faults(event), key
    assert len(find_faults({**event_by_kind[kind], "colour": "blue"})) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position", 0),
        ("position", 2**53),
        ("event_id", "0190b8a2-7b1c-4f3a-9d2e-1f0a2b3c4d5e"),
        ("recorded_at", "2026-02-30T10:00:00.000000Z"),
        ("recorded_at", "2026-02-20T10:00:00.000000"),
        ("author", ""),
        ("message", None),
        ("idempotency_key", 7),
        ("rows_digest", "E3B0"),
        ("parents", []),
        ("parents", ["0" * 64, "1" * 64, "2" * 64]),
        ("generation", 0),
        ("generation", 1),
        ("digest", "0" * 63),
    ],
)
def test_schema_checks_field_formats(field, value, event_by_kind):
    tagged = event_by_kind["revision_tagged"]
    assert find_faults(tagged) == []
    assert find_faults({**tagged, field: value})


@pytest.mark.parametrize(("field", "value"), [("kind", "revision_untagged"), ("version", 2), ("format", 3)])
def test_kind_schema_names_kind_and_version(field, value, event_by_kind):
    tagged = event_by_kind["revision_tagged"]
    validator = Draft202012Validator(SCHEMAS["revision_tagged.v4.json"], registry=REGISTRY, format_checker=formats)
    assert validator.is_valid(tagged)
    assert not validator.is_valid({**tagged, field: value})


@pytest.mark.parametrize("name", SHARED_FILES)
def test_classes_of_shared_files_follow_schemas(name):
    """The class of lock files, or of published heads, accepts and rejects what the schema does."""
    content, file_class = SHARED_FILES[name]
    validator = Draft202012Validator(SCHEMAS[name], registry=REGISTRY)
    rng, counts = random.Random(1), {True: 0, False: 0}
    for index in range(300):
        value = json.loads(content) if index == 0 else change_value(json.loads(content), rng)
        try:
            is_parsed = msgspec.json.decode(json.dumps(value), type=file_class).format == 1
        except msgspec.MsgspecError:
            is_parsed = False
        assert validator.is_valid(value) == is_parsed, value
        counts[is_parsed] += 1
    assert list(json.loads(content)) == SCHEMAS[name]["required"] == list(SCHEMAS[name]["properties"])
    assert min(counts.values()) > 5


RELEASED = {
    "catalogue_added.v1.json": "0c4d2eb9378324bea566fd2135cb188b427af8d511a9bb64ae0e1cee74a6bc35",
    "chips_cut.v1.json": "4905ba2cc2fb33b93bc5291bf989cf534be660da356e00f647bde61f9d1ed1e3",
    "classes_added.v1.json": "b5211423ebb54528111d7762bb00b61d7738294fd1e8fb3f12457b74ad55f284",
    "classes_hardened.v1.json": "3b6d819a8a499e3f3cc7abe6a730f7d06709f26e067f9d3cc8d4cf3d6a5ba667",
    "classes_remapped.v1.json": "9334469eeed71c6d06935160c7a6cdda9c60a379348e17c3d53f5b3ac3cc8958",
    "dataset_imported.v1.json": "e8a90f8552b283c254659f885c5d78aaf6816ab61164a23a6f8d6a7130a75d9c",
    "dataset_initialised.v1.json": "3eb6c0befd189dc52c2f1947ae84f697ab6b3c62624d5222cd3fe810b814fb59",
    "event.v1.json": "8047c088b328e26dc1c83f3f6caf94b0c9bd10642b4f1e16c176ac99ac4ee447",
    "features_added.v1.json": "46005ad98dff75abbc8e3b7b14c4eeb7d43a96723de7362afe56e6ccfe47381c",
    "features_removed.v1.json": "5625ad085c37a51383afeed05a24e7af6d61a67d6641773f0386e4a70740935c",
    "geographer_imported.v1.json": "73c18f7c29d1734800e4900ba01caf99ca019f61d2cb245eeccd7bdaea10542d",
    "labels_made.v1.json": "0242201a63954925bdb6aabf214ae978b8efed415d523bad8e84f5ece0d2e07a",
    "rasters_added.v1.json": "0275d94a5e1da16cb3d8ad69ef585dc12877d1c4d0cbf06aee7a1e051e01a8b2",
    "rasters_downloaded.v1.json": "46474687f2d36fd6de4fdf28747ffbb35e543e92e716d293147e2afce5afc7e4",
    "rasters_removed.v1.json": "02d1edc3fb6f96bf8ef5dfdbe4169124a8d7b07ab3cf78439acb2cee4f57d3b0",
    "recipe_removed.v1.json": "748c6d1e5f818b702f3c71ed3f9268cd293322c2bb7536a2645bb9a4d6c83135",
    "revision_tagged.v1.json": "6b61f0c73126a095029c0a1779f72e04a9fc03dd27edf484fa39f855c3f69124",
    "split_assigned.v1.json": "47f14c809fcc227eb9432b1f0e87a05030011d6130d39859fda25752d7b4417c",
}
"""The SHA-256 of every released schema: released schemas stay equal to the byte."""


def test_released_schemas_stay_equal():
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.json")}
    assert {name: digests[name] for name in RELEASED} == RELEASED


JSON_VALUES = [None, True, False, -1, 0, 1, 0.5, 2, 2**53, "", "x", "a/b", ".x", "f" * 64, [], [1], ["x"], {}, {"x": 1}]


def list_paths(value, path=()):
    """List the paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, item in items for inner in list_paths(item, (*path, key)))]


PAYLOADS = 150 if LONG else 40
"""How many payloads of each event are checked."""


def change_value(payload, rng):
    """Return the payload with one value replaced, removed, or added somewhere."""
    changed = deepcopy(payload)
    *parents, last = rng.choice(list_paths(payload)[1:])
    container = changed
    for key in parents:
        container = container[key]
    kind = rng.randrange(4)
    if kind == 0:
        del container[last]
    elif kind == 1 and isinstance(container, dict):
        container[rng.choice(["colour", "features", "boxes", "cover", "warnings", "added", "replace", "name"])] = (
            rng.choice(JSON_VALUES)
        )
    elif isinstance(container[last], bool | str | int | float | None):
        container[last] = rng.choice(JSON_VALUES)
    else:
        container[last] = rng.choice([*JSON_VALUES, type(container[last])()])
    return changed


def test_classes_follow_the_released_schemas(events):
    """The schema of each class accepts and rejects what the released file does; so do the classes themselves."""
    rng = random.Random(1)
    differences = []
    counts = {True: 0, False: 0}
    for event in events:
        payload_class = CLASSES[event["kind"], event["version"]]
        released = Draft202012Validator(
            {"$ref": f"{event['kind']}.v{event['version']}.json#/properties/payload"}, registry=REGISTRY
        )
        generated = Draft202012Validator(make_payload_schema(payload_class), registry=REGISTRY)
        for index in range(PAYLOADS):
            payload = event["payload"] if index == 0 else change_value(event["payload"], rng)
            expected = released.is_valid(payload)
            counts[expected] += 1
            if generated.is_valid(payload) != expected:
                differences.append((event["kind"], expected, payload))
    assert differences == []
    assert min(counts.values()) > 200
