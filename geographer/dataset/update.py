"""Update a dataset: run every recipe again."""

import logging
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec

from geographer.base.errors import GeographerError, PluginError, SourceError, UnsupportedProductError, quote_names
from geographer.base.executors.executor import Workers
from geographer.base.parameters import Parameter
from geographer.operations.download.recipe import FETCH_WORKERS, Download
from geographer.planning.recipe import ON_CONFLICT, REBUILD_COVERS, WORKERS, OnConflict, Recipe, list_recipes
from geographer.storage.events import ChangeResult
from geographer.storage.request import Request
from geographer.storage.unit_of_work import UnitOfWork

logger = logging.getLogger(__name__)


class Update(Request, kw_only=True, frozen=True):
    """Run every recipe again for what has changed.

    Each recipe that has something to do appends one event. It makes again only what the changes affect, and retires
    what is no longer selected; history keeps it. Only covers keep their chips, and splits keep their assignments.
    Downloads run first. A recipe is skipped, with a warning in its result, if its plugin cannot be imported, its
    archive does not answer, or a downloaded product cannot be read; the exit code is then not 0.
    """

    example: ClassVar[str] = "update --on-conflict exclude"

    workers: Annotated[Workers, WORKERS] = 1
    on_conflict: Annotated[OnConflict | None, ON_CONFLICT] = None
    rebuild_covers: Annotated[bool, REBUILD_COVERS] = False
    downloads: Annotated[bool, Parameter("Run downloads; --no-downloads runs none.", flags="--no-downloads")] = True
    fetch_workers: Annotated[int, FETCH_WORKERS] = 4


def iter_updates(work: UnitOfWork, request: Update) -> Iterator[ChangeResult]:
    """Run the recipes one by one, and yield each result when it is recorded."""
    with work.open_revision() as revision:
        recipes = [recipe for recipe in list_recipes(revision) if request.downloads or not isinstance(recipe, Download)]
    _warn_of_unused_options(request, recipes)
    # Downloads come first, because the other recipes use what they add.
    recipes.sort(key=lambda recipe: not isinstance(recipe, Download))
    key, expected_head = request.idempotency_key, request.expected_head
    names = ("message", "author", "dry_run", "on_conflict", "rebuild_covers")
    shared = {name: getattr(request, name) for name in names}
    recorded: list[ChangeResult] = []
    for index, recipe in enumerate(recipes):
        run_key = f"{key}/{recipe.name}" if key else None
        workers = {"workers": request.workers}
        if isinstance(recipe, Download):
            workers = {"workers": request.fetch_workers, "read_workers": request.workers}
        run = msgspec.structs.replace(recipe, **shared, **workers, idempotency_key=run_key, expected_head=expected_head)
        try:
            result = work.run_request(run)
        except (PluginError, SourceError, UnsupportedProductError) as error:
            result = _skip_recipe(work, recipe, error)
        except GeographerError as error:
            error.args = (f"recipe '{recipe.name}': {error} {_describe_progress(recorded, recipes[index + 1 :])}",)
            raise
        recorded += [result] if result.changed else []
        yield result
        expected_head = None  # The first recipe has checked it.


def _warn_of_unused_options(request: Update, recipes: Sequence[Recipe]) -> None:
    """Log options that no recipe heeds."""
    kinds = {recipe.kind for recipe in recipes}
    if request.on_conflict is not None and "split" not in kinds:
        logger.warning("--on-conflict has no effect, because no recipe is a split.")
    if request.rebuild_covers and "cut cover" not in kinds:
        logger.warning("--rebuild-covers has no effect, because no recipe is a cut cover.")


def _describe_progress(recorded: Sequence[ChangeResult], remaining: Sequence[Recipe]) -> str:
    """Return what an update that failed has recorded, and which recipes it did not run."""
    events = ", ".join(f"@{result.position} {result.kind} '{result.summary['recipe']['name']}'" for result in recorded)
    text = f"Recorded before: {events}." if events else "This update recorded nothing."
    return f"{text} Not run: {quote_names([recipe.name for recipe in remaining])}." if remaining else text


def _skip_recipe(work: UnitOfWork, recipe: Recipe, error: GeographerError) -> ChangeResult:
    """Return the result of a recipe that could not run; it is `incomplete` if a retry may succeed."""
    head = work.read_head()
    summary = {
        "recipe": msgspec.to_builtins(recipe.to_record()),
        "incomplete": isinstance(error, SourceError),
        "warnings": [f"recipe '{recipe.name}' was skipped: {error}"],
    }
    return ChangeResult(head.position, head.digest, recipe.event.kind, summary, changed=False, error=error)
