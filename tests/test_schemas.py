"""Schemas of events: one for every kind; they accept written events and reject changed ones."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from datetime import datetime

import pytest
import shapely
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from geographer import Dataset
from geographer.storage.events import KINDS
from tests import REPOSITORY
from tests.folder_source import FolderSource, add_scene
from tests.old_library import write_directory
from tests.sample_history import point_geometry, write_features

FOLDER = REPOSITORY / "schemas"
SCHEMAS = {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
REGISTRY = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()])

formats = FormatChecker()
formats.checks("date-time", ValueError)(lambda text: bool(datetime.fromisoformat(text).tzinfo))


def find_faults(event):
    """List the violations of the schema of an event's kind and version."""
    schema = SCHEMAS[f"{event['kind']}.v{event['version']}.json"]
    errors = Draft202012Validator(schema, registry=REGISTRY, format_checker=formats).iter_errors(event)
    return [f"{error.json_path}: {error.message}" for error in errors]


def import_datasets(folder, sample_history):
    """Return the events of a dataset that imports a GeoGrapher 1 directory and the sample dataset."""
    dataset = Dataset.init(folder / "dataset", scm=False)
    vectors = {1: ({"type": "pond"}, shapely.box(0, 0, 1, 1))}
    dataset.import_geographer(write_directory(folder / "old", vectors, {"r": ({}, shapely.box(0, 0, 2, 2))}, {}))
    dataset.import_dataset(sample_history.at_v1, rename={"around": "about"})
    return dataset.log()[1:]


@pytest.fixture(scope="module")
def events(sample_history, tmp_path_factory):
    """The events of the sample dataset, of changes of its classes, a download, and imports."""
    folder = tmp_path_factory.mktemp("schemas")
    dataset = Dataset.open(shutil.copytree(sample_history.root, folder / "dataset"))
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
    dataset.download("scenes", source=FolderSource, source_options={"folder": str(folder / "shelf")})
    recorded = dataset.log() + import_datasets(tmp_path_factory.mktemp("imports"), sample_history)
    return [event.to_dict() for event in recorded]


@pytest.fixture(scope="module")
def event_by_kind(events):
    return {event["kind"]: event for event in events}


def test_every_event_kind_has_schema():
    assert {f"{kind}.v{version}.json" for kind, version in KINDS.items()} | {"event.v1.json"} == set(SCHEMAS)
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == name


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
    for part in payload.keys() & {"request", "recipe", "tag"}:
        for key in payload[part]:
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


CUTS = ("cut around", "cut grid", "cut boxes", "cut cover", "cut own")


@pytest.mark.parametrize("kind", CUTS)
def test_schema_checks_cut_parameters(kind, cut_events):
    assert set(cut_events) == set(CUTS)
    for part in ("recipe", "request"):
        for key in cut_events[kind]["payload"][part]["parameters"]:
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
    for key in event_by_kind[kind].keys() - {"kind", "version"}:
        event = deepcopy(event_by_kind[kind])
        del event[key]
        assert find_faults(event), key
    assert len(find_faults({**event_by_kind[kind], "colour": "blue"})) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position", 0),
        ("position", 1),
        ("position", 2**53),
        ("event_id", "0190b8a2-7b1c-4f3a-9d2e-1f0a2b3c4d5e"),
        ("kind", "revision_untagged"),
        ("version", 2),
        ("recorded_at", "2026-02-30T10:00:00.000000Z"),
        ("recorded_at", "2026-02-20T10:00:00.000000"),
        ("author", ""),
        ("message", None),
        ("idempotency_key", 7),
        ("rows_digest", "E3B0"),
        ("parents", []),
        ("parents", ["0" * 64, "1" * 64, "2" * 64]),
        ("digest", "0" * 63),
    ],
)
def test_schema_checks_field_formats(field, value, event_by_kind):
    tagged = event_by_kind["revision_tagged"]
    schema = SCHEMAS["revision_tagged.v1.json"]
    validator = Draft202012Validator(schema, registry=REGISTRY, format_checker=formats)
    assert validator.is_valid(tagged)
    assert not validator.is_valid({**tagged, field: value})
