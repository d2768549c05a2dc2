"""Fixtures of the viewer's tests: two small datasets, their answers in this process, and a server in a thread."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.viewer.answers import ViewerAnswers
from geographer.viewer.server import ViewerServer
from geographer.viewer.session import ViewerSession, open_session
from geographer.viewer.viewed_dataset import ViewedDataset
from tests.sample_history import SampleHistory

HOSTILE_IDS = ("<img src=x onerror=alert(1)>", "\"'&; DROP TABLE", "🏔️ глетчер", "x" * 200, "../../etc/passwd", " a ")
"""Ids that break what is not escaped."""


@pytest.fixture(scope="session")
def history_root(tmp_path_factory: pytest.TempPathFactory, sample_history: SampleHistory) -> Path:
    """A copy of the sample history."""
    return shutil.copytree(sample_history.root, tmp_path_factory.mktemp("viewed") / "dataset", symlinks=True)


def make_square(west: float, south: float, side: float) -> dict:
    ring = [[west, south], [west + side, south], [west + side, south + side], [west, south + side], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def write_world(path: Path) -> Path:
    """Write squares and points all over the globe, at its edges, and with hostile ids."""
    shapes = {f"s{number}": make_square(-170 + 17 * number, -60 + 6 * number, 0.01 * 3**number) for number in range(8)}
    shapes |= {f"p{number}": {"type": "Point", "coordinates": [-149 + 30 * number, 40]} for number in range(10)}
    shapes |= {name: make_square(10 + place, 50, 0.4) for place, name in enumerate(HOSTILE_IDS)}
    shapes["pole"] = {"type": "Point", "coordinates": [20, 88]}
    shapes["cap"] = make_square(30, 80, 9.5)
    parts = [make_square(178, 10, 2)["coordinates"], make_square(-180, 10, 2)["coordinates"]]
    shapes["dateline"] = {"type": "MultiPolygon", "coordinates": parts}
    members = [
        {
            "type": "Feature",
            "properties": {"id": name, "class": "<b>kind</b>" if name == "s1" else name[0]},
            "geometry": shape,
        }
        for name, shape in shapes.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


@pytest.fixture(scope="session")
def world_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of features all over the globe: three revisions, and a branch with one more, which each remove a feature."""
    folder = tmp_path_factory.mktemp("world")
    dataset = Dataset.init(folder / "world", scm=False)
    dataset.add_features(write_world(folder / "world.geojson"))
    dataset.remove_features(["s3"], message="<script>alert(2)</script>")
    dataset.create_branch("survey")
    dataset.switch_branch("survey")
    dataset.remove_features(["s1"])
    dataset.switch_branch("main")
    return dataset.root


@contextmanager
def open_viewer(root: Path, at: str | None = None) -> Iterator[ViewerSession]:
    dataset = ViewedDataset(root)
    with open_session(dataset, dataset.choose_revision(at)) as session:
        yield session


@pytest.fixture(scope="module")
def history_session(history_root: Path) -> Iterator[ViewerSession]:
    with open_viewer(history_root) as session:
        yield session


@pytest.fixture(scope="module")
def world_session(world_root: Path) -> Iterator[ViewerSession]:
    with open_viewer(world_root) as session:
        yield session


@contextmanager
def serve_session(session: ViewerSession) -> Iterator[ViewerServer]:
    """Run a server in a thread."""
    server, is_started = ViewerServer(session), threading.Event()
    thread = threading.Thread(target=lambda: server.run(is_started.set, handle_signals=False))
    thread.start()
    assert is_started.wait(30)
    try:
        yield server
    finally:
        server.stop_serving()
        thread.join()


def ask(session: ViewerSession, name: str, **parameters: object) -> tuple[int, dict]:
    """Return the status and the JSON of an answer."""
    values = {key: [*value] if isinstance(value, list) else [str(value)] for key, value in parameters.items()}
    answer = ViewerAnswers(session).answer_request(f"api/{name}", values)
    return answer.status, json.loads(answer.content)
