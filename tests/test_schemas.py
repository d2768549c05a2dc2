"""The schemas of events: one for every kind, which what is written fits, and nothing else."""

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
from tests.folder_source import Shelf, shelve
from tests.old_library import write_old
from tests.sample_history import point, write_features

FOLDER = REPOSITORY / "schemas"
SCHEMAS = {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
REGISTRY = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()])

formats = FormatChecker()
formats.checks("date-time", ValueError)(lambda text: bool(datetime.fromisoformat(text).tzinfo))


def faults(envelope):
    """What the schema of its kind and version has against an event."""
    schema = SCHEMAS[f"{envelope['kind']}.v{envelope['version']}.json"]
    found = Draft202012Validator(schema, registry=REGISTRY, format_checker=formats).iter_errors(envelope)
    return [f"{fault.json_path}: {fault.message}" for fault in found]


def imports(folder, story):
    """The events of a dataset that took over an old directory and the story."""
    dataset = Dataset.init(folder / "dataset", scm=False)
    vectors = {1: ({"type": "pond"}, shapely.box(0, 0, 1, 1))}
    dataset.import_geographer(write_old(folder / "old", vectors, {"r": ({}, shapely.box(0, 0, 2, 2))}, {}))
    dataset.import_dataset(story.at_v1, rename={"around": "about"})
    return dataset.log()[1:]


@pytest.fixture(scope="module")
def events(story, tmp_path_factory):
    """Those of the story, and of what follows it: changes of classes, and imports."""
    folder = tmp_path_factory.mktemp("schemas")
    dataset = Dataset.open(shutil.copytree(story.root, folder / "dataset"))
    dataset.remap_classes({"quarry": "pit", "pond": "pit", "quay": None}, prune_rasters=True)
    soft = {"id": "soft", "class": "pit", "prob_of_class_pit": 0.25, "prob_of_class_water": 0.75}
    feature = {"type": "Feature", "properties": soft, "geometry": {"type": "Point", "coordinates": [15.0, 47.0]}}
    path = folder / "soft.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    dataset.add_features(path)
    dataset.harden_classes()
    shelve(folder / "shelf", "one", column=3_000)
    far = write_features(folder / "far.geojson", {"far": ("pond", point(3_005, 5))})
    dataset.add_features(far, crs="EPSG:32633")
    dataset.download("scenes", source=Shelf, source_options={"folder": str(folder / "shelf")})
    told = dataset.log() + imports(tmp_path_factory.mktemp("imports"), story)
    return [event.to_dict() for event in told]


@pytest.fixture(scope="module")
def one_of_each(events):
    return {event["kind"]: event for event in events}


def test_every_kind_and_version_has_a_schema_named_after_it():
    assert {f"{kind}.v{version}.json" for kind, version in KINDS.items()} | {"event.v1.json"} == set(SCHEMAS)
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == name


def test_every_event_that_is_written_fits_its_schema(events):
    assert {event["kind"] for event in events} == set(KINDS)
    assert [(event["position"], found) for event in events if (found := faults(event))] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_key_in_the_payload_does_not_fit(kind, one_of_each):
    event = deepcopy(one_of_each[kind])
    event["payload"]["colour"] = "blue"
    assert len(faults(event)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_payload_that_lacks_any_of_its_keys_does_not_fit(kind, one_of_each):
    for key in one_of_each[kind]["payload"]:
        event = deepcopy(one_of_each[kind])
        del event["payload"][key]
        assert faults(event), key


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_or_a_recipe_with_a_key_too_many_or_too_few_does_not_fit(kind, one_of_each):
    payload = one_of_each[kind]["payload"]
    for part in payload.keys() & {"request", "recipe", "tag"}:
        for key in payload[part]:
            event = deepcopy(one_of_each[kind])
            del event["payload"][part][key]
            assert faults(event), (part, key)
        event = deepcopy(one_of_each[kind])
        event["payload"][part]["colour"] = "blue"
        assert faults(event), part


def test_additions_that_replace_fit_and_count_all_or_nothing(one_of_each):
    for kind, asked in (("features_added", {}), ("rasters_added", {"patterns": ["*.tif"], "tags": ["CLOUDS"]})):
        event = deepcopy(one_of_each[kind])
        event["payload"]["request"] |= {"replace": True, **asked}
        event["payload"] |= {"added": 1, "changed": 2, "unchanged": 3}
        assert faults(event) == []
        del event["payload"]["unchanged"]
        assert faults(event)


@pytest.fixture(scope="module")
def cuts(events):
    return {event["payload"]["recipe"]["kind"]: event for event in events if event["kind"] == "chips_cut"}


CUTS = ("cut around", "cut grid", "cut boxes", "cut cover", "cut own")


@pytest.mark.parametrize("kind", CUTS)
def test_a_cut_with_a_parameter_too_many_or_too_few_does_not_fit(kind, cuts):
    assert set(cuts) == set(CUTS)
    for part in ("recipe", "request"):
        for key in cuts[kind]["payload"][part]["parameters"]:
            event = deepcopy(cuts[kind])
            del event["payload"][part]["parameters"][key]
            assert faults(event), (part, key)
        event = deepcopy(cuts[kind])
        event["payload"][part]["parameters"]["colour"] = "blue"
        assert faults(event), part


@pytest.mark.parametrize("kind", CUTS)
def test_a_request_may_say_how_an_update_was_asked_for_and_a_recipe_may_not(kind, cuts):
    event = deepcopy(cuts[kind])
    event["payload"]["request"] |= {"afresh": True, "on_conflict": "move"}
    assert faults(event) == []
    event["payload"]["recipe"] |= {"afresh": True}
    assert faults(event)


def test_a_cover_that_did_not_ask_for_a_bound_fits(cuts):
    event = deepcopy(cuts["cut cover"])
    event["payload"]["cover"]["bound"] = None
    assert faults(event) == []
    event["payload"]["cover"]["kept"] = None
    assert faults(event)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_that_lacks_or_gains_a_field_does_not_fit(kind, one_of_each):
    for key in one_of_each[kind].keys() - {"kind", "version"}:
        event = deepcopy(one_of_each[kind])
        del event[key]
        assert faults(event), key
    assert len(faults({**one_of_each[kind], "colour": "blue"})) == 1


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
def test_a_field_of_another_form_does_not_fit(field, value, one_of_each):
    tagged = one_of_each["revision_tagged"]
    schema = SCHEMAS["revision_tagged.v1.json"]
    validator = Draft202012Validator(schema, registry=REGISTRY, format_checker=formats)
    assert validator.is_valid(tagged)
    assert not validator.is_valid({**tagged, field: value})
