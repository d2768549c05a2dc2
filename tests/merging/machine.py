"""A random machine: three clones and a remote, each step compared with the model.

A run is repeated by its seed: all choices, and the times and ids of events, follow from it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer import Dataset
from geographer.base.errors import GeographerError
from tests.merging.commands import INPUTS, RepeatableEvents, run_command
from tests.merging.draws import Draws
from tests.merging.effects import Registry, apply_command
from tests.merging.leaks import find_leaks
from tests.merging.mirror import check_mirror
from tests.merging.model import (
    Commit,
    Conflict,
    ConflictKey,
    Content,
    History,
    Table,
    Tables,
    is_consistent,
    resolve_conflicts,
    select_predicted,
)
from tests.merging.observe import Observed, read_dataset
from tests.merging.steps import CLONES, Clone, MismatchError, Step, require_equal

REMOTE: Final = "[core]\n    analytics = false\n    no_scm = true\n    remote = origin\n['remote \"origin\"']\n    url = ../../remote\n"


REQUIRED: Final = ("value", "class", "geometry", "id_is_integer", "file", "collection")
"""The columns without which there is no object: they have no base if both sides added it."""
IDLE: Final = 0.15
"""How many of the drawn steps that do nothing are run."""


class Refs(NamedTuple):
    """The chains of a clone as its log has them, and the branch in use."""

    chains: dict[str, list[str]]
    parents: dict[str, list[str]]
    branch: str


def read_refs(dataset: Dataset) -> Refs:
    """Read the chains of a dataset."""
    database = dataset._unit_of_work.database
    with database.open_connection(log="r") as connection:
        rows = connection.execute(
            "SELECT branch, digest, parents FROM log.chain JOIN log.event USING (event_key) ORDER BY branch, position"
        ).fetchall()
    chains: dict[str, list[str]] = {}
    for branch, digest, _ in rows:
        chains.setdefault(branch, []).append(digest)
    return Refs(chains, {digest: parents for _, digest, parents in rows}, getattr(database, "branch", "main"))


class Machine:
    """Runs random steps in a folder, which becomes the current one."""

    def __init__(
        self, folder: Path, seed: int, *, mirrored: float = 0.15, killed: float = 0.04, clones: int = 3
    ) -> None:
        """Use a folder; `mirrored` of the merges are made from either side, and `killed` of the steps are killed."""
        self.folder, self.mirrored, self.names = folder, mirrored, CLONES[:clones]
        self.history, self.registry, self.events = History(), Registry(), RepeatableEvents()
        self.clones: dict[str, Clone] = {}
        self.draws = Draws(seed, self.history, self.clones, self.registry, killed)
        self.random = self.draws.random
        self.published: dict[str, str] = {}
        self.seen_published: dict[str, str] = {}
        """What was published before the step: a push fetches that first."""
        self.undone: dict[str, str] = {}
        """By merge event, the head of the branch before it."""
        self.resolution: Content | None = None
        """What the resolutions of the step give; numbers of conflicts mean nothing after it."""
        self.conflicting: set[str] = set()
        """Merge events that left conflicts."""
        self.resolutions: set[str] = set()
        """Events that resolve conflicts."""
        self.steps: list[Step] = []
        self.counts: dict[str, int] = {}

    # --- running ------------------------------------------------------------------------------------------------------

    @contextmanager
    def open_folder(self, template: Path) -> Iterator[None]:
        """Use the machine's folder, with clones of the template, as the current one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with chdir(self.folder), self.events.apply():
            self.prepare(template.absolute())
            yield

    def prepare(self, template: Path) -> None:
        """Copy the dataset that `create_template` made, and clone it."""
        for name in ("A", "remote", INPUTS.name):
            shutil.copytree(template / name, name, symlinks=True)
        self.events.count = 100
        for name in self.names[1:]:
            shutil.copytree("A", name, symlinks=True)
        refs = read_refs(Dataset.open(Path("A")))
        for number, digest in enumerate(refs.chains["main"], start=1):
            seen = read_dataset(Dataset.open(Path("A")), number)
            self.history.add_commit(digest, refs.parents[digest], seen.declared, seen.derived)
        head = refs.chains["main"][-1]
        self.published["main"] = head
        self.clones |= {name: Clone(name, {"main": head}, fetched={"main": head}) for name in self.names}

    def run_step(self, step: Step) -> None:
        """Run a step, and compare what it did with the model."""
        self.steps.append(step)
        self.counts[step.command] = self.counts.get(step.command, 0) + 1
        clone, is_refused = self.clones[step.clone], self.predict_refusal(step)
        self.seen_published = dict(self.published)
        if step.command == "merge" and not is_refused and self.random.random() < self.mirrored:
            self.check_mirror(clone, step.arguments["revision"])
        if step.kill_point is not None:
            self._run_killed(step)
        else:
            self._run(step, is_refused=is_refused)
        if step.kill_point is not None or not is_refused:
            self.follow(clone, step)
        else:
            if step.command in ("push", "pull"):
                self._follow_fetch(clone, step, Dataset.open(Path(clone.name)))
            self.require_unchanged(clone)

    def check_mirror(self, clone: Clone, revision: str) -> None:
        """Merge from either side, in copies, if that needs an event."""
        ours, theirs = clone.head, self.locate(clone, revision)
        if not (self.history.is_ancestor(ours, theirs) or self.history.is_ancestor(theirs, ours)):
            check_mirror(clone, revision)

    def _run(self, step: Step, *, is_refused: bool) -> None:
        try:
            run_command(Path(step.clone), step.command, step.arguments)
        except GeographerError as error:
            if not is_refused:
                raise MismatchError(f"{step} failed: {error}") from error
            return
        if is_refused:
            raise MismatchError(f"{step} should have been refused")

    def _run_killed(self, step: Step) -> None:
        from tests.reliability.processes import Running

        arguments = (step.clone, step.command, json.dumps(step.arguments), str(self.events.count))
        command = ("call", "tests.merging.commands:run_in_child", *arguments)
        (done,) = Running(Path(), command, kill_point=step.kill_point).wait()
        self.events.count += 100
        if done.code not in (0, -9) and (done.is_traceback or not self.predict_refusal(step)):
            raise MismatchError(f"{step}: {done}\n{done.err}")

    def draw_step(self) -> Step:
        """Draw a step; one that does nothing, or is refused, is drawn less often."""
        while True:
            step = self.draws.draw_step()
            if self.random.random() < IDLE or not self.is_idle(step):
                return step

    def is_idle(self, step: Step) -> bool:
        """Return whether a step that exchanges events does nothing."""
        clone = self.clones[step.clone]
        if step.command == "merge":
            return self.history.is_ancestor(self.locate(clone, step.arguments["revision"]), clone.head)
        if step.command in ("fetch", "pull"):
            return all(self.published[name] == clone.fetched.get(name) for name in self.published)
        if step.command == "push":
            return self.published.get(clone.branch) == clone.head
        return False

    # --- expecting ----------------------------------------------------------------------------------------------------

    def predict_refusal(self, step: Step) -> bool:
        """Return whether the command must fail with an error that says why."""
        clone, history = self.clones[step.clone], self.history
        if history[clone.head].conflicts and step.command in ("tag", "push", "revert"):
            return True
        if step.command == "merge":
            return self.is_merge_refused(clone, step.arguments["revision"])
        if step.command in ("tag", "push") and self.list_leaking_splits(history[clone.head]):
            return True
        published = self.published.get(clone.branch)
        if step.command == "push":
            return published is not None and published not in history.list_chain(clone.head)
        if step.command == "pull":
            return published is not None and not (
                history.is_ancestor(published, clone.head) or history.is_ancestor(clone.head, published)
            )
        if step.command == "revert":
            return bool(self.predict_revert(clone, step.arguments["revision"]).conflicts)
        if step.command == "abort_merge":
            return self.find_abortable_merge(clone) is None
        if step.command == "resolve":
            self.resolution = self.predict_resolution(clone, step)
            return self.resolution is None
        return False

    def is_merge_refused(self, clone: Clone, revision: str) -> bool:
        """Return whether a merge needs an event while conflicts are open, or would move published positions."""
        ours, theirs, is_published = clone.head, self.locate(clone, revision), revision == f"origin/{clone.branch}"
        if self.is_merged(ours, theirs, is_published=is_published):
            return False
        if self.can_fast_forward(ours, theirs, is_published=is_published):
            followed = clone.fetched.get(clone.branch)
            is_left = followed is not None and followed not in self.history.list_chain(theirs)
            return is_left and followed is not None and self.history.is_ancestor(followed, theirs)
        return bool(self.history[ours].conflicts or self.history[theirs].conflicts)

    def list_leaking_splits(self, commit: Commit | Content) -> list[str]:
        """List the splits that leak, by bounds and geometries."""
        splits = sorted({split for split, _ in commit.derived["split"]} & commit.declared["recipe"].keys())
        return [name for name in splits if find_leaks(commit.declared, commit.derived, name)]

    def predict_resolution(self, clone: Clone, step: Step) -> Content | None:
        """Return what resolutions give; None if they must be refused."""
        take, keys = step.arguments["take"], self.find_conflicts(clone, step.arguments["ids"])
        subjects = {subject for subject, *_ in keys}
        if take == "smallest" and subjects != {"split"}:
            return None
        bases = {conflict[:3]: conflict.base for conflict in self.history[clone.head].conflicts}
        if take == "base" and any(bases[key] is None and key[2] in (None, *REQUIRED) for key in keys):
            return None
        content = resolve_conflicts(self.history[clone.head], keys, take)
        return content if is_consistent(content.declared) else None

    def find_conflicts(self, clone: Clone, ids: list[str]) -> list[ConflictKey]:
        """Return the conflicts of the model that have these numbers."""
        rows = Dataset.open(Path(clone.name)).list_conflicts().to_pylist()
        names = {describe_conflict(conflict): conflict[:3] for conflict in self.history[clone.head].conflicts}
        return [names[row["subject"], row["object_id"], row["column"]] for row in rows if row["conflict"] in ids]

    def predict_revert(self, clone: Clone, digest: str) -> Content:
        """Return what a revert gives."""
        return self.history.merge(clone.head, self.history[digest].parents[0], bases=[digest])

    def find_abortable_merge(self, clone: Clone) -> str | None:
        """Return the merge event that `merge --abort` undoes: there are only resolutions after it."""
        digest = clone.head
        while digest in self.resolutions:
            digest = self.history[digest].parents[0]
        if digest not in self.undone or digest not in self.conflicting:
            return None
        published = self.published.get(clone.branch)
        return None if published and self.history.is_ancestor(digest, published) else digest

    def locate(self, clone: Clone, revision: str) -> str:
        """Return the digest of a branch or a fetched branch."""
        if revision.startswith("origin/"):
            return clone.fetched[revision.removeprefix("origin/")]
        return clone.heads[revision]

    # --- following ----------------------------------------------------------------------------------------------------

    def follow(self, clone: Clone, step: Step) -> None:
        """Compare a clone after a command with the model, and take the new events into it."""
        dataset = Dataset.open(Path(clone.name))
        FOLLOWS.get(step.command, Machine._follow_change)(self, clone, step, dataset)
        self.require_refs(clone, dataset)

    def _follow_change(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        new, refs = self.list_new_events(clone, dataset)
        if not new:
            if step.kill_point is None:
                self.compare(clone, step, self.history[clone.head].declared, dataset)
            return
        for digest in new:
            before = self.history[clone.head]
            seen = read_dataset(dataset, digest)
            if digest == new[-1]:
                self.registry.learn(step.command, step.arguments, seen.declared)
            expected = self.expect_declared(clone, step, seen)
            require_equal(f"{step}: declared", expected, seen.declared)
            self.history.add_commit(digest, refs.parents[digest], expected, seen.derived, before.conflicts)
            clone.heads[clone.branch] = digest

    def expect_declared(self, clone: Clone, step: Step, seen: Observed) -> Tables:
        """Return what an ordinary command leaves declared."""
        before = self.history[clone.head].declared
        expected = apply_command(step.command, step.arguments, before, self.registry)
        if step.command == "tag":
            expected["tag"] = {**before["tag"], step.arguments["name"]: {"digest": clone.head}}
        expected["removal"] = forget_removals(expected, seen.derived)
        return expected

    def list_new_events(self, clone: Clone, dataset: Dataset) -> tuple[list[str], Refs]:
        """List the events that the branch in use has beyond those of the model, which it must have, too."""
        refs, known = read_refs(dataset), self.history.list_chain(clone.head)
        chain = refs.chains[clone.branch]
        require_equal(f"chain of {clone.name}", known, chain[: len(known)])
        return chain[len(known) :], refs

    def compare(self, clone: Clone, step: Step, expected: Tables, dataset: Dataset) -> None:
        """Require what is declared at the head."""
        require_equal(f"{clone.name} after {step}: declared", expected, read_dataset(dataset).declared)

    def require_unchanged(self, clone: Clone) -> None:
        """Require that a clone is as the model knows it."""
        self.require_refs(clone, Dataset.open(Path(clone.name)))

    def require_refs(self, clone: Clone, dataset: Dataset) -> None:
        """Require that branches and fetched branches of a clone are those of the model."""
        refs = read_refs(dataset)
        heads = {name: chain[-1] for name, chain in refs.chains.items() if "@" not in name and "/" not in name}
        require_equal(f"branches of {clone.name}", clone.heads, heads)
        fetched = {f"origin/{name}": digest for name, digest in clone.fetched.items()}
        seen = {name: chain[-1] for name, chain in refs.chains.items() if name.startswith("origin/")}
        require_equal(f"fetched branches of {clone.name}", fetched, seen)
        require_equal(f"branch in use of {clone.name}", clone.branch, refs.branch)

    def _follow_branch(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        name, chains = step.arguments["name"], read_refs(dataset).chains
        is_done = (name in chains) == (step.command == "create_branch")
        if step.kill_point is None or is_done:
            if step.command == "create_branch":
                clone.heads[name] = clone.head
            else:
                clone.heads.pop(name)

    def _follow_switch(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        refs = read_refs(dataset)
        if step.kill_point is None or refs.branch == step.arguments["name"]:
            clone.branch = step.arguments["name"]
            self.require_head(clone, step, dataset)

    def require_head(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        """Require all tables at the head."""
        seen, commit = read_dataset(dataset), self.history[clone.head]
        require_equal(f"{step}: declared", commit.declared, seen.declared)
        require_equal(f"{step}: derived", commit.derived, seen.derived)

    def _follow_merge(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        revision = step.arguments["revision"]
        ours, theirs = clone.head, self.locate(clone, revision)
        is_published = revision == f"origin/{clone.branch}"
        chain = read_refs(dataset).chains[clone.branch]
        if step.kill_point is not None and chain[-1] == ours:
            return
        if self.is_merged(ours, theirs, is_published=is_published):
            require_equal(f"{step}: head", ours, chain[-1])
        elif self.can_fast_forward(ours, theirs, is_published=is_published):
            require_equal(f"{step}: head", theirs, chain[-1])
            clone.heads[clone.branch] = theirs
            self.require_head(clone, step, dataset)
        else:
            self._follow_merge_event(clone, step, dataset, (theirs, ours) if is_published else (ours, theirs))

    def is_merged(self, ours: str, theirs: str, *, is_published: bool) -> bool:
        """Return whether there is nothing to merge."""
        return theirs in self.history.list_chain(ours) if is_published else self.history.is_ancestor(theirs, ours)

    def can_fast_forward(self, ours: str, theirs: str, *, is_published: bool) -> bool:
        """Return whether a branch becomes another without an event."""
        return ours in self.history.list_chain(theirs) or (is_published and self.history.is_ancestor(ours, theirs))

    def _follow_merge_event(self, clone: Clone, step: Step, dataset: Dataset, parents: tuple[str, str]) -> None:
        refs, seen = read_refs(dataset), read_dataset(dataset)
        chain = refs.chains[clone.branch]
        require_equal(f"{step}: chain", self.history.list_chain(parents[0]), chain[:-1])
        require_equal(f"{step}: parents", [*parents], refs.parents[chain[-1]])
        ours, theirs = clone.head, self.locate(clone, step.arguments["revision"])
        content = self.history.merge(ours, theirs, take=step.arguments["on_conflict"])
        self.require_content(step, content, seen, ours, theirs)
        leaking = self.list_leaking_splits(content._replace(derived=seen.derived))
        leaks = tuple(Conflict("split", name, None, None, None, None) for name in leaking)
        content = content._replace(conflicts=(*content.conflicts, *leaks))
        if content.conflicts:
            self.conflicting.add(chain[-1])
        self.history.add_merge(chain[-1], parents, content, seen.derived)
        self.undone[chain[-1]] = ours
        clone.heads[clone.branch] = chain[-1]
        self.require_conflicts(clone, step, dataset)

    def require_content(self, step: Step, content: Content, seen: Observed, ours: str, theirs: str) -> None:
        """Require what a merge, a resolution or a reversal gives, as far as it is known before `update`."""
        content.declared["removal"] = forget_removals(content.declared, seen.derived)
        require_equal(f"{step}: declared", content.declared, seen.declared)
        sides = (self.history[ours], self.history[theirs])
        expected, actual = (
            select_predicted(item, content.declared, *sides) for item in (content.derived, seen.derived)
        )
        require_equal(f"{step}: derived", expected, actual)

    def require_conflicts(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        """Require the open conflicts of the model."""
        rows = dataset.list_conflicts().to_pylist()
        seen = {(row["subject"], row["object_id"], row["column"]) for row in rows}
        expected = {describe_conflict(conflict) for conflict in self.history[clone.head].conflicts}
        require_equal(f"{step}: conflicts", expected, seen)

    def _follow_push(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        numbers = [int(path.name) for path in Path("remote/heads", clone.branch).glob("[0-9]*") if path.stat().st_size]
        head = (
            json.loads(Path("remote/heads", clone.branch, str(max(numbers))).read_bytes())["head"] if numbers else None
        )
        if head == clone.head:
            self.published[clone.branch] = clone.head
        elif step.kill_point is None:
            raise MismatchError(f"{step}: the published head is {head}, not {clone.head}")
        self._follow_fetch(clone, step, dataset)

    def _follow_fetch(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        """Take what the clone says of the remote, which is what is published, or, after a kill, what it said before."""
        del step
        for chain_name, chain in read_refs(dataset).chains.items():
            remote, _, name = chain_name.partition("/")
            if remote == "origin" and name:
                options = {self.published.get(name), self.seen_published.get(name), clone.fetched.get(name)}
                require_equal(f"{chain_name} of {clone.name} is known", True, chain[-1] in options)
                clone.fetched[name] = chain[-1]

    def _follow_pull(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        self._follow_fetch(clone, step, dataset)
        published, head = self.published.get(clone.branch, ""), read_refs(dataset).chains[clone.branch][-1]
        is_forward = published in self.history and self.history.is_ancestor(clone.head, published)
        if is_forward and (step.kill_point is None or head == published):
            clone.heads[clone.branch] = published
        if step.kill_point is None:
            self.require_head(clone, step, dataset)

    def _follow_resolution(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        new, refs = self.list_new_events(clone, dataset)
        if not new and step.kill_point is not None:
            return
        (digest,), seen = new, read_dataset(dataset)
        content = self.resolution
        assert content is not None
        self.require_content(step, self._take_splits(clone, content, seen), seen, clone.head, clone.head)
        self.history.add_merge(digest, refs.parents[digest], content, seen.derived)
        if step.arguments["take"] == "smallest":
            open_before = {key for subject, key, *_ in self.history[clone.head].conflicts if subject == "split"}
            resolved = open_before - {key for subject, key, *_ in content.conflicts if subject == "split"}
            left = resolved & {*self.list_leaking_splits(content._replace(derived=seen.derived))}
            require_equal(f"{step}: leaks", set(), left)
        self.resolutions.add(digest)
        clone.heads[clone.branch] = digest
        self.require_conflicts(clone, step, dataset)

    def _take_splits(self, clone: Clone, content: Content, seen: Observed) -> Content:
        """Take the assignments of splits whose conflicts were resolved as they are seen: which are right is checked."""
        before = {key for subject, key, *_ in self.history[clone.head].conflicts if subject == "split"}
        resolved = before - {key for subject, key, *_ in content.conflicts if subject == "split"}
        kept = {key: row for key, row in content.derived["split"].items() if key[0] not in resolved}
        taken = {key: row for key, row in seen.derived["split"].items() if key[0] in resolved}
        return content._replace(derived={**content.derived, "split": kept | taken})

    def _follow_abort(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        merge = self.find_abortable_merge(clone)
        assert merge is not None
        head = read_refs(dataset).chains[clone.branch][-1]
        if step.kill_point is None or head == self.undone[merge]:
            clone.heads[clone.branch] = self.undone[merge]
            self.require_head(clone, step, dataset)

    def _follow_revert(self, clone: Clone, step: Step, dataset: Dataset) -> None:
        new, refs = self.list_new_events(clone, dataset)
        revision, before = step.arguments["revision"], clone.head
        content = self.predict_revert(clone, revision)
        if not new:
            if step.kill_point is None:
                self.compare(clone, step, content.declared, dataset)
            return
        (digest,), seen = new, read_dataset(dataset)
        self.require_content(step, content, seen, before, self.history[revision].parents[0])
        self.history.add_merge(digest, refs.parents[digest], content, seen.derived)
        clone.heads[clone.branch] = digest
        if revision == before:
            expected = read_dataset(dataset, self.history[before].parents[0]).content_digest
            require_equal(f"{step}: content digest", expected, seen.content_digest)


def forget_removals(declared: Tables, derived: Tables) -> Table:
    """Return the remembered removals without those of rasters that exist again."""
    existing = declared["raster"].keys() | derived["chip"].keys()
    return {name: row for name, row in declared["removal"].items() if name not in existing}


def describe_conflict(conflict: Conflict) -> tuple[str, str, str | None]:
    """Return the subject, the object and the column of a conflict as the product names them."""
    if conflict.subject == "input":
        recipe, subject, name = conflict.key
        return "recipe", recipe, f"{subject} {name}"
    if conflict.subject == "user_column":
        return conflict.subject, "/".join(conflict.key), conflict.column
    return conflict.subject, conflict.key, conflict.column


FOLLOWS: Final[dict[str, Callable[..., None]]] = {
    "create_branch": Machine._follow_branch,
    "delete_branch": Machine._follow_branch,
    "switch": Machine._follow_switch,
    "merge": Machine._follow_merge,
    "push": Machine._follow_push,
    "fetch": Machine._follow_fetch,
    "pull": Machine._follow_pull,
    "resolve": Machine._follow_resolution,
    "abort_merge": Machine._follow_abort,
    "revert": Machine._follow_revert,
}


def create_template(folder: Path) -> None:
    """Create the first clone, its inputs and the remote in a folder; a run copies them."""
    folder.mkdir(parents=True, exist_ok=True)
    with chdir(folder), RepeatableEvents().apply():
        Path("remote").mkdir()
        Dataset.init(Path("A"), background="water", scm=False)
        for command, arguments in TEMPLATE:
            run_command(Path("A"), command, arguments)
        Path("A/.dvc/config").write_text(REMOTE)
        run_command(Path("A"), "push", {})
        run_command(Path("A"), "fetch", {})


TEMPLATE: Final[list[tuple[str, dict[str, Any]]]] = [
    ("add_rasters", {"contents": {"a": 1, "b": 1, "c": 1}}),
    (
        "add_features",
        {
            "features": {
                "f0": {"class": "pond", "box": [3, 3, 2, 2], "name": "lake", "note": None},
                "f1": {"class": "quarry", "box": [27, 9, 2, 2], "name": "pool", "note": "old"},
                "f2": {"class": "pond", "box": [70, 6, 4, 4], "name": "lake", "note": None},
                "f3": {"class": "reed", "box": [88, 24, 2, 2], "name": "pool", "note": None},
            }
        },
    ),
    ("run_recipe", {"name": "around", "variant": 0, "replace": False}),
    ("run_recipe", {"name": "grid", "variant": 0, "replace": False}),
    ("run_recipe", {"name": "mask", "variant": 0, "replace": False}),
    ("run_recipe", {"name": "parts", "variant": 0, "replace": False}),
]
"""The first commands, which all runs share."""
