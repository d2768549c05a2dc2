"""Merged recipes: which ones to record and to remove, and what that means for the objects that they made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgspec import UNSET

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import GeographerError
from geographer.operations.merge.facts import InputKey, RecipeState, SideFacts, join_parameters
from geographer.operations.merge.sides import FIRST, SECOND, MergeSides
from geographer.operations.merge.three_way import Contest, Take, choose_value, merge_columns
from geographer.planning.merge_conflicts import Conflict
from geographer.planning.recipe import load_recipe
from geographer.planning.recipe_events import PlacedRecipe, RecipePlace
from geographer.storage.events.payload import RecipeRecord

_PIXEL_PARAMETERS: Final = ("bands", "pad_value")
"""Parameters of a cut that change the pixels of chips, but not their windows: update does not see that by itself."""

NONE: Final = "none"
"""The rule for objects of a recipe that none of them fits the merged parameters."""


@dataclass(slots=True)
class CombinedRecipes:
    """The recipes to record with their inputs, in their order, those to remove, and the rules for what they made.

    A rule is the side whose objects of the recipe fit the merged one, or `NONE`; without a rule, those of both do.
    """

    recorded: dict[str, RecipeState] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)

    def make_records(self) -> list[PlacedRecipe]:
        """Return the recipes as the event records them."""
        return [
            PlacedRecipe(
                name,
                state.kind,
                join_parameters(state.parameters),
                UNSET if state.form is None else state.form,
                # A recipe that only a file describes is created by this event.
                order=RecipePlace(*state.order) if state.order[1] else UNSET,
            )
            for name, state in sorted(self.recorded.items(), key=lambda item: (item[1].order, item[0]))
        ]


class _RecipeSides(NamedTuple):
    name: str
    first: RecipeState | None
    second: RecipeState | None
    bases: Sequence[RecipeState | None]

    def get_side(self, side: str) -> RecipeState | None:
        return self.first if side == FIRST else self.second


def merge_recipes(facts: Mapping[str, SideFacts], sides: MergeSides, take: Take) -> CombinedRecipes:
    """Merge the recipes of both sides three-way: by parameter, their inputs as sets."""
    merged = CombinedRecipes()
    names = sorted({name for side in facts.values() for name in side.recipes})
    for name in names:
        states = {side: facts[side].recipes.get(name) for side in facts}
        recipe = _RecipeSides(name, states[FIRST], states[SECOND], [states[base] for base in sides.base_names])
        if recipe.first == recipe.second:
            continue
        result, conflicts = _merge_recipe(recipe, sides, take)
        merged.conflicts += conflicts
        if (rule := _choose_rule(recipe, result)) is not None:
            merged.rules[name] = rule
        if result is None:
            merged.removed += [name] if recipe.first is not None else []
        else:
            known = [state for state in (recipe.first, recipe.second) if state is not None]
            result = result._replace(form=_choose_form(recipe, rule), order=min(state.order for state in known))
            if result._replace(form=None) != (recipe.first and recipe.first._replace(form=None)):
                merged.recorded[name] = result
    return merged


def _merge_recipe(recipe: _RecipeSides, sides: MergeSides, take: Take) -> tuple[RecipeState | None, list[Conflict]]:
    ours, theirs = recipe.get_side(sides.ours), recipe.get_side(sides.their_side)
    if ours is None or theirs is None or ours.kind != theirs.kind:
        return _merge_whole(recipe, ours, theirs, take)
    bases = [base.parameters if base else None for base in recipe.bases]
    merged = merge_columns(Contest("recipe", recipe.name, bases, ours.parameters, theirs.parameters), take)
    parameters = merged.columns or {}
    if parameters not in (ours.parameters, theirs.parameters) and find_recipe_fault(recipe.name, ours.kind, parameters):
        return _merge_whole(recipe, ours, theirs, take)
    inputs, conflicts = _merge_inputs(recipe, ours, theirs, take)
    return ours._replace(parameters=parameters, inputs=inputs), [*merged.conflicts, *conflicts]


def _merge_whole(
    recipe: _RecipeSides, ours: RecipeState | None, theirs: RecipeState | None, take: Take
) -> tuple[RecipeState | None, list[Conflict]]:
    """Take a recipe of one side as a whole: one removed it, or the parameters of both do not go together."""
    texts = [show_recipe(state) for state in (*recipe.bases, ours, theirs)]
    chosen, is_conflict = choose_value(texts[:-2], texts[-2], texts[-1], take)
    conflicts = []
    if is_conflict:
        base = texts[0] if len(set(texts[:-2])) == 1 else None
        conflicts.append(Conflict("recipe", recipe.name, None, base, texts[-2], texts[-1]))
    if chosen == texts[-2] == texts[-1] and ours and theirs:
        return ours._replace(inputs=_merge_inputs(recipe, ours, theirs, take)[0]), conflicts
    return (ours if chosen == texts[-2] else theirs), conflicts


def show_recipe(state: RecipeState | None) -> str | None:
    """Return the kind and the parameters of a recipe as one JSON text."""
    return state and canonical_json({"kind": state.kind, "parameters": join_parameters(state.parameters)})


def _merge_inputs(
    recipe: _RecipeSides, ours: RecipeState, theirs: RecipeState, take: Take
) -> tuple[dict[InputKey, tuple[str | None, str | None]], list[Conflict]]:
    if list(ours.inputs.items()) == list(theirs.inputs.items()):
        return dict(ours.inputs), []
    merged: dict[InputKey, tuple[str | None, str | None]] = {}
    conflicts = []
    order = list(dict.fromkeys(key for base in recipe.bases if base for key in base.inputs))
    order += sorted({*ours.inputs, *theirs.inputs}.difference(order))
    for key in order:
        bases = [_show_input(base, key) for base in recipe.bases]
        here, there = _show_input(ours, key), _show_input(theirs, key)
        value, is_conflict = choose_value(bases, here, there, take)
        if is_conflict and key[0] == "box":
            base = bases[0] if len(set(bases)) == 1 else None
            conflicts.append(Conflict("recipe", recipe.name, f"box {key[1]}", base, here, there))
        elif is_conflict:
            value = here or there
        if value is not None:
            merged[key] = (ours if value == here else theirs).inputs[key]
    for state, other in ((ours, theirs), (theirs, ours)):
        if merged == state.inputs and merged != other.inputs:
            return dict(state.inputs), conflicts
    return merged, conflicts


def _show_input(state: RecipeState | None, key: InputKey) -> str | None:
    if state is None or key not in state.inputs:
        return None
    geometry, crs = state.inputs[key]
    return canonical_json({"wkb": geometry, "crs": crs})


def find_recipe_fault(name: str, kind: str, parameters: Mapping[str, str]) -> str | None:
    """Return why a recipe cannot run with these parameters; None if it can."""
    try:
        load_recipe(RecipeRecord(name, kind, join_parameters(parameters)))
    except KeyError as error:
        return f"it has no parameter {error}"
    except (GeographerError, TypeError, ValueError, AttributeError) as error:
        return str(error)
    return None


def _choose_rule(recipe: _RecipeSides, result: RecipeState | None) -> str | None:
    """Return the side whose objects of the recipe fit the merged recipe, `NONE`, or None if those of both sides do."""
    first, second = recipe.first, recipe.second
    if first is None or second is None:
        if result is None:
            return FIRST if first is None else SECOND
        existed = any(base is not None for base in recipe.bases)
        return (SECOND if first is None else FIRST) if existed else None
    assert result is not None
    is_outdated = [makes_other_objects(state, result) for state in (first, second)]
    if all(is_outdated):
        return None if result.kind == "split" else NONE
    if any(is_outdated):
        return SECOND if is_outdated[0] else FIRST
    return FIRST if result.kind.startswith("label") and first.form != second.form else None


def makes_other_objects(before: RecipeState, after: RecipeState) -> bool:
    """Return whether what a recipe made is not what its new form makes, where update does not see that."""
    if before.kind != after.kind:
        return True
    if before.kind.startswith("label") or before.kind == "split":
        return before.parameters != after.parameters
    return any(before.parameters.get(name) != after.parameters.get(name) for name in _PIXEL_PARAMETERS)


def _choose_form(recipe: _RecipeSides, rule: str | None) -> Mapping[str, object] | None:
    if recipe.first is None or (rule == SECOND and recipe.second is not None):
        return recipe.second.form if recipe.second else None
    return recipe.first.form
