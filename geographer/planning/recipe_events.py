"""What the events of recipes have in common: the recipe, the selectors that ran, covers, warnings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from geographer.base.text import format_count
from geographer.storage.events.payload import Count, Digest, EventPayload, Reasons, RecipeRecord


class SelectorRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A selector: how many objects it chose, and whether it ran; else it chose them when it ran last."""

    selector: str
    version: str
    chosen: Count
    ran: bool


class SelectorRuns(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The selectors of features and of rasters; at least one."""

    feature: SelectorRun | UnsetType = UNSET
    raster: SelectorRun | UnsetType = UNSET


class RecipeEvent(EventPayload, kw_only=True, frozen=True):
    """A run of a recipe."""

    is_optional = True

    recipe: RecipeRecord

    def iter_recipes(self) -> Iterator[RecipeRecord]:
        """See `EventPayload.iter_recipes`."""
        yield self.recipe

    def load_request(self) -> Any:
        """See `EventPayload.load_request`: return the recipe with the options of the run."""
        from geographer.planning.recipe import load_recipe

        options = self.request if isinstance(self.request, Mapping) else {}
        run_options = {"on_conflict": options.get("on_conflict"), "rebuild_covers": options.get("afresh", False)}
        return msgspec.structs.replace(load_recipe(self.recipe), **run_options)


class ImportedRecipe(RecipeRecord, frozen=True):
    """A recipe, and what its imported labels share, so that a change of it makes them again."""

    kind: Annotated[str, Meta(min_length=1)]
    form: Mapping[str, Any] | UnsetType = UNSET


class RecipePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a recipe comes in the order of recipes: generation and digest of the event that created it, place there."""

    generation: Count
    digest: Digest
    place: Count


class PlacedRecipe(ImportedRecipe, kw_only=True, frozen=True):
    """A recipe with its place in the order of recipes."""

    order: RecipePlace | UnsetType = UNSET


def find_recipe_place(recipes: Sequence[PlacedRecipe], name: str) -> tuple[int, str, int] | None:
    """Return the place of the recipe of this name, as `EventPayload.find_recipe_order` has it, if it is recorded."""
    for recipe in recipes:
        if recipe.name == name and isinstance(recipe.order, RecipePlace):
            return recipe.order.generation, recipe.order.digest, recipe.order.place
    return None


class SelectingEvent(RecipeEvent, kw_only=True, frozen=True):
    """A run of a recipe that selectors may restrict, and that may leave something unmet."""

    schema_rules: ClassVar[Mapping[str, Any]] = {"properties": {"selectors": {"minProperties": 1}}}

    unmet: Reasons
    selectors: SelectorRuns | UnsetType = UNSET
    warnings: Annotated[list[str], Meta(min_length=1)] | UnsetType = UNSET


def format_reasons(reasons: Reasons | UnsetType) -> str:
    """Return why objects were skipped, for a one-line summary."""
    return "; ".join(f"{count:,} skipped: {reason}" for reason, count in (reasons or {}).items())


def format_bound(count: int, noun: str, what: str, bound: int | None) -> str:
    """Return a number of things beside its proven lower bound, for a one-line summary."""
    if bound is None:
        return ""
    proof = "the proven minimum" if bound == count else f"at least {bound:,} needed"
    return f"{format_count(count, noun)} {what} ({proof})"
