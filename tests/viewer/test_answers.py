"""The answers of the viewer: objects, histories, differences, components, pictures, errors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.viewer.answers import ViewerAnswers
from geographer.viewer.session import ViewerSession
from tests.sample_history import HEAD, V1
from tests.viewer.conftest import HOSTILE_IDS, ask, open_viewer


def test_dataset_and_revision(history_session: ViewerSession, history_root: Path) -> None:
    status, dataset = ask(history_session, "dataset")
    assert status == 200
    assert (dataset["head"], dataset["start"], dataset["branch"]) == (HEAD, HEAD, "main")
    assert {"tag": "v1", "position": V1} in dataset["tags"]
    _, revision = ask(history_session, "revision", at=V1)
    event = Dataset.open(history_root).show(V1)
    assert revision["event"]["digest"] == event.digest
    assert revision["features"]["number"] == len(Dataset.open(history_root).features(V1))


@pytest.mark.parametrize("identity", HOSTILE_IDS)
def test_hostile_id_is_found_and_explained(world_session: ViewerSession, identity: str) -> None:
    status, row = ask(world_session, "object", at=3, subject="feature", id=identity)
    assert (status, row["id"], row["columns"]["feature_id"]) == (200, identity, identity)
    assert ask(world_session, "history", at=3, subject="feature", id=identity)[1]["number"] == 1
    assert identity in ask(world_session, "why", at=3, subject="feature", id=identity)[1]["sentences"][0]
    found = ask(world_session, "search", at=3, text=identity)[1]
    assert identity.strip() in found[0]["id"]


def test_object_has_relations(history_session: ViewerSession, history_root: Path) -> None:
    _, chip = ask(history_session, "object", at=V1, subject="raster", id="around/a_p1")
    relations = chip["relations"]
    assert relations["parent"] == "a"
    assert relations["labels"] == ["mask"]
    edges = Dataset.open(history_root).edges(V1, raster="around/a_p1").arrow
    assert [row["feature_id"] for row in relations["features"]["rows"]] == edges["feature_id"].to_pylist()
    _, feature = ask(history_session, "object", at=V1, subject="feature", id="p1")
    assert "around/a_p1" in [row["raster_id"] for row in feature["relations"]["rasters"]["rows"]]


def test_history_is_of_the_shown_branch(tmp_path: Path, world_root: Path) -> None:
    dataset = Dataset.open(shutil.copytree(world_root, tmp_path / "dataset", symlinks=True))
    dataset.create_branch("other")
    dataset.switch_branch("other")
    dataset.remove_features(["s1"], message="on the branch")
    dataset.switch_branch("main")
    with open_viewer(dataset.root, "other") as session:
        rows = ask(session, "history", at=3, subject="feature", id="s1")[1]["rows"]
    assert (rows[0]["position"], rows[0]["message"]) == (4, "on the branch")


def test_diff_counts_what_the_dataset_counts(history_session: ViewerSession, history_root: Path) -> None:
    status, diff = ask(history_session, "diff", since=V1, at=HEAD)
    expected = Dataset.open(history_root).diff(V1, HEAD, flags=True)
    assert status == 200
    assert diff["counts"] == [count._asdict() for count in expected.group_counts]
    assert diff["flagNumber"] == len(expected.flags)
    assert f"diff @{V1} @{HEAD} --html" in diff["command"]
    listed = ask(history_session, "list", subject="features", since=V1, at=HEAD)[1]
    changes = {(row["feature_id"], row["change"]) for row in expected.changes["feature"].to_pylist()}
    assert {(row["id"], row["kind"]) for row in listed["rows"]} == changes
    removed = ask(history_session, "list", subject="features", since=V1, at=HEAD, kind="removed")[1]
    assert {row["id"] for row in removed["rows"]} == {name for name, change in changes if change == "removed"}


def test_components_are_those_of_the_dataset(history_session: ViewerSession, history_root: Path) -> None:
    status, answer = ask(history_session, "components", at=V1, split="parts")
    expected = Dataset.open(history_root).components("around", at=V1).arrow["component"].to_pylist()
    assert status == 200
    assert {row["component"]: row["size"] for row in answer["rows"]} == {
        number: expected.count(number) for number in expected
    }
    first = answer["rows"][0]
    listed = ask(history_session, "list", subject="rasters", at=V1, split="parts", component=first["component"])[1]
    assert listed["number"] == first["size"]


def test_pictures_have_overlays(history_session: ViewerSession) -> None:
    status, picture = ask(history_session, "picture", at=V1, id="around/a_p1")
    assert (status, picture["hasImage"], picture["overlays"], picture["problem"]) == (200, True, ["mask"], None)
    answers = ViewerAnswers(history_session)
    for label in ("", "mask"):
        answer = answers.answer_request("picture.png", {"at": [str(V1)], "id": ["around/a_p1"], "label": [label]})
        assert (answer.type, answer.content[:4]) == ("image/png", b"\x89PNG")


def test_missing_pixels_are_said(history_root: Path, tmp_path: Path) -> None:
    root = shutil.copytree(history_root, tmp_path / "bare", symlinks=True)
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(root / "rasters")
    with open_viewer(root) as session:
        status, picture = ask(session, "picture", at=HEAD, id="around/a_p2")
        assert (status, picture["hasImage"]) == (200, False)
        assert "machine" in picture["problem"]
        assert "checkout" in ask(session, "object", at=HEAD, subject="raster", id="around/a_p2")[1]["fetch"]
        assert ask(session, "count", at=HEAD, subject="rasters")[1]["number"] > 0


@pytest.mark.parametrize(
    ("name", "parameters", "status", "text"),
    [
        ("revision", {"at": 99}, 404, "the head is @25"),
        ("revision", {"at": "HEAD"}, 400, "invalid at"),
        ("list", {}, 400, "invalid at"),
        ("revision", {"at": "9" * 400}, 400, "invalid at"),
        ("revision", {"at": ["1", "2"]}, 400, "several values"),
        ("object", {"at": 1, "subject": "feature", "id": "p1"}, 404, "no feature 'p1' at @1"),
        ("object", {"at": 1, "subject": "file", "id": "p1"}, 400, "Use feature or raster"),
        ("object", {"at": 1, "subject": "feature"}, 400, "Name one object"),
        ("list", {"at": 1, "limit": 100_000}, 400, "invalid limit"),
        ("list", {"at": 1, "box": "1,2,3"}, 400, "invalid box"),
        ("list", {"at": 1, "box": "nan,0,1,1"}, 400, "invalid box"),
        ("list", {"at": 1, "subject": "labels"}, 400, "Use features or rasters"),
        ("count", {"at": V1, "where": "class ="}, 400, "not an SQL expression"),
        ("diff", {"at": V1, "since": 99}, 404, "no revision @99"),
        ("components", {"at": V1, "split": "none"}, 404, "no recipe of a split 'none'"),
        ("picture", {"at": V1, "id": "none"}, 404, "none"),
        ("events", {"first": 5, "last": 4}, 400, "invalid last"),
        ("nothing", {}, 404, "nothing at this address"),
    ],
)
def test_wrong_requests(history_session: ViewerSession, name: str, parameters: dict, status: int, text: str) -> None:
    answered, error = ask(history_session, name, **parameters)
    assert (answered, text in error["error"]) == (status, True), error


@pytest.mark.parametrize(
    "path",
    [
        "../server.py",
        "static/../../server.py",
        "/etc/passwd",
        "main.js/",
        "tiles/features/1/2",
        "tiles/labels/0/0/0",
        "tiles/features/-1/0/0",
        "tiles/features/١/0/0",
    ],
)
def test_other_paths_lead_nowhere(history_session: ViewerSession, path: str) -> None:
    answer = ViewerAnswers(history_session).answer_request(path, {"at": ["1"]})
    assert answer.status in (400, 404)
    assert json.loads(answer.content)["error"]


def test_a_long_log_is_read_in_pages(history_session: ViewerSession) -> None:
    _, events = ask(history_session, "events", first=3, last=V1)
    assert [event["position"] for event in events] == [*range(3, V1 + 1)]


_WRITE = """
import sys
import time
from geographer import Dataset
dataset = Dataset.open(sys.argv[1])
for number in range(3):
    dataset.add_classes([f"new{number}"], message=f"class {number}")
"""


def test_reading_while_another_process_writes(world_root: Path, tmp_path: Path) -> None:
    root = shutil.copytree(world_root, tmp_path / "written")
    with open_viewer(root) as session:
        before = ask(session, "revision", at=2)[1]
        with subprocess.Popen([sys.executable, "-c", _WRITE, str(root)]) as writer:
            statuses = set()
            while writer.poll() is None:
                statuses.add(ask(session, "object", at=3, subject="feature", id="s1")[0])
                statuses.add(ask(session, "status")[0])
                time.sleep(0.05)
                statuses.add(ask(session, "count", at=2, subject="features", where="length(feature_id) = 2")[0])
        assert (writer.returncode, statuses) == (0, {200})
        status = ask(session, "status")[1]
        assert (status["head"], status["replaced"], status["event"]["message"]) == (6, False, "class 2")
        assert ask(session, "revision", at=2)[1] == before
        assert ask(session, "revision", at=6)[0] == 200


def test_another_chain_is_viewed_by_its_revision(world_root: Path) -> None:
    with open_viewer(world_root, "survey") as session:
        assert (session.start_position, session.dataset.chain) == (4, "survey")
        assert ask(session, "object", at=4, subject="feature", id="s1")[0] == 404
        counts = ask(session, "diff", since=3, at=4)[1]["counts"]
        assert [(count["object"], count["change"], count["number"]) for count in counts] == [("feature", "removed", 1)]


def test_a_request_chooses_the_chain(world_session: ViewerSession) -> None:
    _, dataset = ask(world_session, "dataset")
    assert (dataset["branch"], dataset["branches"], dataset["head"]) == ("main", ["main", "survey"], 3)
    _, other = ask(world_session, "dataset", chain="survey")
    assert (other["branch"], other["head"], other["start"]) == ("survey", 4, 4)
    numbers = [ask(world_session, "revision", chain=chain)[1]["features"]["number"] for chain in ("main", "survey", "")]
    assert numbers == [numbers[0], numbers[0] - 1, numbers[0]]
    assert ask(world_session, "object", at=4, subject="feature", id="s0", chain="survey")[0] == 200
    assert ask(world_session, "object", at=4, subject="feature", id="s0", chain="main")[0] == 404
    status, error = ask(world_session, "dataset", chain="none")
    assert (status, error["error"]) == (404, "no branch 'none'. The branches are main, survey.")


def test_outlines_differ_by_dashes(history_session: ViewerSession) -> None:
    styles = ask(history_session, "dataset")[1]["styles"]
    for name in ("class", "collection", "subset"):
        dashes = [str(style["dash"]) for style in styles[name]][:4]
        assert len(set(dashes)) == len(dashes), name
