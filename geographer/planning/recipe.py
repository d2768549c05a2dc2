"""What every recipe is: a name, parameters that the log records, a plan, and a run that makes what the plan says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from geographer.base.values import Checksums
    from geographer.storage.events import EventDraft
    from geographer.storage.queries.revision import Revision

_WORTH_PROCESSES: Final = 128

OnConflict = Literal["exclude", "move"]

ProgressCallback = Callable[[str, int, int], None]
"""Told what is being made, how many are done, and how many there will be."""


def _untold(_what: str, _done: int, _of: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How one run of a recipe is asked for, beside what the recipe says.

    Attributes:
        root: The dataset's folder.
        on_conflict: What becomes of what welds the parts of a split.
        afresh: A cover is made anew, and chips that it does without are retired.
        progress: Told how far planning is, where that takes long.
    """

    root: Path
    on_conflict: OnConflict | None = None
    afresh: bool = False
    progress: ProgressCallback = _untold

    def to_json(self) -> dict[str, Any]:
        """What was asked for, as the log keeps it."""
        return {
            **({"on_conflict": self.on_conflict} if self.on_conflict else {}),
            **({"afresh": True} if self.afresh else {}),
        }


@dataclass(frozen=True, slots=True)
class BuildContext:
    """Where and how a recipe's pixels are made.

    Attributes:
        root: The dataset's folder.
        staging: An empty folder for drafts, on the dataset's file system; gone afterwards.
        workers: How many processes work at once.
        progress: Told how far it is.
    """

    root: Path
    staging: Path
    workers: int
    progress: ProgressCallback

    def count_workers(self, count: int) -> int:
        """How many processes are worth starting for `count` files: each takes half a second to start."""
        return self.workers if count >= _WORTH_PROCESSES else 1


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a run made.

    Attributes:
        draft: The event to append.
        files: The staged files whose bytes DVC is to store first.
        holds_at: Raises where a later revision leaves no room for what was made; None: it is for the revision that was
            planned on alone. What took hours to fetch must not be lost because a tag was set meanwhile.
        afterwards: What is left to do once the event is recorded.
    """

    draft: EventDraft
    files: list[tuple[Path, Checksums]] = field(default_factory=list)
    check_still_valid: Callable[[Revision], None] | None = None
    on_recorded: Callable[[], None] | None = None


class Plan(Protocol):
    """What a run would do. `summary` is small JSON; `empty` says that there is nothing new."""

    @property
    def summary(self) -> dict[str, Any]:
        """The counts that a person wants to see before and after."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to make."""
        ...

    def build_outputs(self, workshop: BuildContext) -> BuildResult:
        """Make it."""
        ...


class RecipeParameters(Protocol):
    """What is declared by a recipe: its name, and its parameters of a kind."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """Its name in this dataset."""
        ...

    def to_parameters(self) -> dict[str, Any]:
        """What the log records of it, as JSON; `kinds.recipe_of` takes it back."""
        ...


class Recipe(RecipeParameters, Protocol):
    """A recipe: frozen, made from a name and parameters, and equal when those are."""

    event: ClassVar[str]

    def make_plan(self, revision: Revision, run: RunOptions) -> Plan:
        """What a run would do for what is new at `revision`."""
        ...


def recipe_to_json(recipe: RecipeParameters) -> dict[str, Any]:
    """The recipe as an event's payload records it."""
    return {"name": recipe.name, "kind": recipe.kind, "parameters": recipe.to_parameters()}
