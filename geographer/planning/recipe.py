"""Recipe protocol: a named operation whose parameters the log records, its plan, and the outputs that a plan builds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol

from geographer.base.canonical_json import canonical_json
from geographer.base.plugins import PluginRef
from geographer.base.progress import ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from pathlib import Path

    from geographer.base.values import Checksums
    from geographer.storage.events import EventDraft
    from geographer.storage.queries.revision import Revision

_WORTH_PROCESSES: Final = 128

OnConflict = Literal["exclude", "move"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of one run of a recipe, beside the recipe's parameters.

    Attributes:
        root: The dataset's folder.
        on_conflict: How a split treats rasters that connect several parts.
        rebuild_covers: Whether a cover is computed from scratch; chips that it no longer needs are retired.
        progress: Called during long planning.
    """

    root: Path
    on_conflict: OnConflict | None = None
    rebuild_covers: bool = False
    progress: ProgressCallback = ignore_progress

    def to_json(self) -> dict[str, Any]:
        """Return the options that the log records; defaults are left out."""
        options = {"on_conflict": self.on_conflict, "afresh": self.rebuild_covers}
        return {name: value for name, value in options.items() if value}


@dataclass(frozen=True, slots=True)
class BuildContext:
    """Folders, worker processes and progress callback with which a plan builds its outputs.

    Attributes:
        root: The dataset's folder.
        staging: An empty folder on the dataset's file system, deleted after the run.
        workers: The number of worker processes.
        progress: Called after each output.
    """

    root: Path
    staging: Path
    workers: int
    progress: ProgressCallback

    def count_workers(self, count: int) -> int:
        """Return the number of processes for `count` files; starting one takes half a second, so few files get one."""
        return self.workers if count >= _WORTH_PROCESSES else 1


@dataclass(frozen=True, slots=True)
class BuildResult:
    """Outputs of a run.

    Attributes:
        draft: The event to append.
        files: The staged files, with checksums, that DVC stores before the event is appended.
        check_still_valid: Called if the log head moved during the run; raises if the outputs conflict with the new
            head. None: the outputs are valid only for the planned revision. Downloads set it, so that an unrelated
            event does not discard hours of fetching.
        on_recorded: Called after the event is recorded.
    """

    draft: EventDraft
    files: list[tuple[Path, Checksums]] = field(default_factory=list)
    check_still_valid: Callable[[Revision], None] | None = None
    on_recorded: Callable[[], None] | None = None


class Plan(Protocol):
    """Outputs that a run of a recipe would build."""

    @property
    def summary_fields(self) -> dict[str, Any]:
        """Counts for the event's payload, shown before and after the run."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to build."""
        ...

    def build_outputs(self, context: BuildContext, /) -> BuildResult:
        """Write the outputs into `context.staging` and return them with the event."""
        ...


class RecipeParameters(Protocol):
    """Name, kind and parameters of a recipe."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """Name, unique in the dataset."""
        ...

    def to_parameters(self) -> dict[str, Any]:
        """Return the parameters as JSON for the log; `recipe_registry.load_recipe` is the inverse."""
        ...


class Recipe(RecipeParameters, Protocol):
    """Replayable operation: immutable, and equal to another with the same name and parameters."""

    event: ClassVar[str]

    def make_plan(self, revision: Revision, run: RunOptions, /) -> Plan:
        """Plan the outputs that are missing or outdated at `revision`."""
        ...


def recipe_to_json(recipe: RecipeParameters) -> dict[str, Any]:
    """Return the recipe as an event's payload records it."""
    return {"name": recipe.name, "kind": recipe.kind, "parameters": recipe.to_parameters()}


def fields_to_json(recipe: Any) -> dict[str, Any]:
    """Return the fields of a recipe without its name, as the log records them; whole floats become integers."""
    return {field.name: _to_json(getattr(recipe, field.name)) for field in fields(recipe) if field.name != "name"}


def normalise_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plugin's options as they are read back from the log, so that the first run sees what later runs see.

    Raises:
        UsageError: they are not JSON.
    """
    normalised: dict[str, Any] = json.loads(canonical_json(dict(options)))
    return normalised


def _to_json(value: Any) -> Any:
    if isinstance(value, PluginRef):
        return value.to_json()
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
