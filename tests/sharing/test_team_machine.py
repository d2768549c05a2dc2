"""Three clones and a remote under random commands, pushes, pulls, crashes and garbage collections.

No acknowledged event is lost, every tag reproduces everywhere, and `verify` finds nothing. HYPOTHESIS_PROFILE=long runs
more and longer histories.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from geographer import Dataset
from geographer.base.errors import ConflictError
from geographer.sharing import fetch, pull, push
from geographer.storage.dvc.folder_files import FolderFiles
from geographer.storage.dvc.store import Store
from geographer.storage.history.folder import HistoryFolder
from geographer.storage.unit_of_work import UnitOfWork
from tests.sample_history import point_geometry, read_contents, write_features, write_scenes
from tests.sample_team import LONG, Team, copy_team

NAMES = ("ada", "bob", "cy")
WHO = st.sampled_from(NAMES)


class Crash(BaseException):
    """Takes the place of the end of the process."""


KILL_POINTS: dict[str, tuple[Any, str]] = {
    "segments": (HistoryFolder, "_write_segments"),
    "history.dvc": (HistoryFolder, "_track_segments"),
    "lock remembered": (HistoryFolder, "_write_memory"),
    "history": (UnitOfWork, "write_history"),
    "workspace": (UnitOfWork, "sync_workspace"),
    "checkout": (UnitOfWork, "checkout_workspace"),
    "upload": (FolderFiles, "put_file"),
    "head": (FolderFiles, "create_file"),
    "head remembered": (push, "remember_remote"),
    "fast forward": (UnitOfWork, "move_branch"),
    "segments adopted": (pull, "adopt_segments"),
    "fetch remembered": (fetch, "remember_remote"),
    "download": (Store, "fetch_files"),
}


class TeamMachine(RuleBasedStateMachine):
    """Drives three clones; the model knows the events that each clone has acknowledged, and those on the remote."""

    template: Team

    @initialize()
    def create_clones(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.team = copy_team(self.template, self.folder / "team")
        self.team.copy_ada("bob")
        self.team.copy_ada("cy")
        first = [event.digest for event in self.open("ada").log()]
        self.acknowledged = {name: [*first] for name in NAMES}
        self.published = first
        self.count = 0

    def open(self, name: str) -> Dataset:
        return Dataset.open(self.team.folder / name)

    def make_name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def change(self, name: str, action: Callable[[Dataset], Any]) -> None:
        """Run a command, whose event is acknowledged by its result."""
        result = action(self.open(name))
        note(f"{name} is at @{result.position} {result.digest[:12]}")
        if result.changed:
            self.acknowledged[name].append(result.digest)

    @rule(who=WHO)
    def add_class(self, who: str) -> None:
        self.change(who, lambda dataset: dataset.add_classes([self.make_name("class")]))

    @rule(who=WHO, column=st.integers(5, 60))
    def add_feature(self, who: str, column: int) -> None:
        name = self.make_name("f")
        path = write_features(self.folder / f"{name}.geojson", {name: ("pond", point_geometry(column + 0.5, 20.5))})
        self.change(who, lambda dataset: dataset.add_features(path, crs="EPSG:32633"))

    @rule(who=WHO, seed=st.integers(1, 3))
    def add_raster(self, who: str, seed: int) -> None:
        (path,) = write_scenes(self.folder / "scenes", self.make_name("r"), seed=seed)
        self.change(who, lambda dataset: dataset.add_rasters([path]))

    @rule(who=WHO)
    def remove_raster(self, who: str) -> None:
        rasters = self.open(who).rasters().to_pylist()
        if rasters:
            self.change(who, lambda dataset: dataset.remove_rasters([rasters[-1]["raster_id"]]))

    @rule(who=WHO, size=st.sampled_from([8, 12]))
    def cut_and_label(self, who: str, size: int) -> None:
        name = self.make_name("cut")
        self.change(who, lambda dataset: dataset.cut_around_features(name, size=size))
        self.change(who, lambda dataset: dataset.label_masks(f"{name}-mask", collection=name))

    @rule(who=WHO)
    def add_tag(self, who: str) -> None:
        self.change(who, lambda dataset: dataset.tag(self.make_name("tag")))

    @rule(who=WHO)
    def push(self, who: str) -> None:
        dataset = self.open(who)
        digests = [event.digest for event in dataset.log()]
        is_ahead = digests[: len(self.published)] == self.published
        try:
            result = dataset.push()
        except ConflictError as error:
            note(f"{who}: {error}")
            assert not is_ahead
            return
        assert is_ahead
        assert result.digest == digests[-1]
        self.published = digests

    @rule(who=WHO)
    def pull(self, who: str) -> None:
        dataset = self.open(who)
        digests = [event.digest for event in dataset.log()]
        shared = min(len(digests), len(self.published))
        try:
            dataset.pull()
        except ConflictError as error:
            note(f"{who}: {error}")
            assert digests[:shared] != self.published[:shared]
            self.clone_again(who)
            return
        assert digests[:shared] == self.published[:shared]
        self.acknowledged[who] = max(digests, self.published, key=len)

    def clone_again(self, who: str) -> None:
        """Keep a diverged history, whose events are still there, under another name, and clone the published one."""
        self.add_class(who)  # Completes a command that crashed.
        digests = [event.digest for event in self.open(who).log()]
        assert self.acknowledged[who] == [digest for digest in digests if digest in {*self.acknowledged[who]}]
        assert self.open(who).verify() == []
        shutil.rmtree(self.team.folder / who)
        self.team.clone(who)
        self.acknowledged[who] = [*self.published]

    @rule(
        who=WHO,
        command=st.sampled_from(["add_class", "add_raster", "push", "pull"]),
        point=st.sampled_from([*KILL_POINTS]),
    )
    def crash(self, who: str, command: str, point: str) -> None:
        """Crash in a command: what it did is not acknowledged, and yet may be there."""
        owner, name = KILL_POINTS[point]
        run: dict[str, Callable[[], Any]] = {
            "add_class": lambda: self.add_class(who),
            "add_raster": lambda: self.add_raster(who, 1),
            "push": lambda: self.push(who),
            "pull": lambda: self.pull(who),
        }
        digests = [event.digest for event in self.open(who).log()]

        def stop(*_: object, **__: object) -> None:
            raise Crash

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, stop)
            try:
                run[command]()
            except Crash:
                note(f"{who} crashed")
        if command == "push" and self.read_published_head() == digests[-1]:
            self.published = digests

    def read_published_head(self) -> str:
        numbers = sorted(int(path.name) for path in (self.team.remote / "heads/main").iterdir() if path.name.isdigit())
        return str(json.loads((self.team.remote / "heads/main" / str(numbers[-1])).read_bytes())["head"])

    @rule(who=WHO)
    def run_dvc_gc(self, who: str) -> None:
        """Do what `dvc gc --workspace --force` does: delete each object of the cache that no `.dvc` file names."""
        root = self.team.folder / who
        cache = root / ".dvc/cache/files/md5"
        used = set()
        for path in [root / "history.dvc", *root.glob("rasters/*.dvc"), *root.glob("labels/*/*.dvc")]:
            address = yaml.safe_load(path.read_text())["outs"][0]["md5"]
            listing = cache / address[:2] / address[2:]
            used |= {address} | {entry["md5"] for entry in json.loads(listing.read_bytes())}
        for path in [path for path in cache.glob("*/*") if path.parent.name + path.name not in used]:
            path.unlink()

    @rule(who=WHO)
    def collect_garbage(self, who: str) -> None:
        self.open(who).collect_garbage()

    @rule(who=WHO)
    def collect_remote_garbage(self, who: str) -> None:
        try:
            self.open(who).collect_garbage(remote="origin")
        except ConflictError as error:
            note(f"{who}: {error}")
            assert self.published[-1] not in {event.digest for event in self.open(who).log()}

    @invariant()
    def no_event_is_lost(self) -> None:
        for name in NAMES if hasattr(self, "team") else ():
            digests = [event.digest for event in self.open(name).log()]
            expected = {*self.acknowledged[name]}
            assert [digest for digest in digests if digest in expected] == self.acknowledged[name]

    def teardown(self) -> None:
        if not hasattr(self, "team"):
            return
        try:
            self.require_tags()
        finally:
            shutil.rmtree(self.folder)

    def require_tags(self) -> None:
        """Pull everywhere, and reproduce each tag: published ones from the remote, others from this machine."""
        for name in NAMES:
            self.pull(name)
            dataset = self.open(name)
            dataset.add_classes([self.make_name("last")])
            assert dataset.verify() == [], name
            digests = [event.digest for event in dataset.log()]
            for row in dataset.tags().to_pylist():
                folder = self.folder / f"{name}-{row['tag']}"
                position = next(number for number, digest in enumerate(digests, start=1) if digest == row["digest"])
                if {event.digest for event in dataset.log() if event.kind == "revision_tagged"} <= {*self.published}:
                    assert dataset.reproduce(row["tag"], folder).position == position
                else:
                    dataset.checkout(row["tag"], to=folder)
                count = len([path for path in read_contents(folder) if path.endswith(".tif")])
                tables = (dataset.rasters(at=row["tag"]), dataset.labels(at=row["tag"]))
                assert count == sum(len(table) for table in tables)


def test_team_loses_nothing(team_template):
    machine = type("TeamMachineOfTemplate", (TeamMachine,), {"template": team_template})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60 if LONG else 2,
            stateful_step_count=25 if LONG else 10,
            deadline=None,
            phases=[phase for phase in Phase if phase is not Phase.shrink],
            suppress_health_check=[*HealthCheck],
        ),
    )
