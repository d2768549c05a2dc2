"""Ten planted faults of the merge, and which histories find them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

_MADE_AT: Final = "coalesce((payload->>'$.labels_up_to')::BIGINT, 0) AS made_at"
Patch = pytest.MonkeyPatch


class Mutant(NamedTuple):
    """A rule of the merge that is broken; `script` names the history of `scripts` that reaches the rule."""

    name: str
    script: str
    plant: Callable[[Patch], None]


@contextmanager
def plant_mutant(mutant: Mutant) -> Iterator[None]:
    """Break a rule in the block."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.plant(patch)
        yield


def _replace_attribute(patch: Patch, path: str, make: Callable[[Any], Any]) -> None:
    """Replace `module:name` or `module:Class.name` of the merge by what `make` makes of it."""
    module, _, name = path.partition(":")
    owner: Any = import_module(f"geographer.{module}")
    *classes, name = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    patch.setattr(owner, name, make(getattr(owner, name)))


def _replace_sql(patch: Patch, file: str, old: str, new: str) -> None:
    """Replace a text of an SQL file, which must have it."""
    read_text = Path.read_text

    def read_replaced(path: Path, *arguments: Any, **options: Any) -> str:
        text = read_text(path, *arguments, **options)
        if path.name == file:
            assert old in re.sub(r"\s+", " ", text), f"{file} has no '{old}'"
            return re.sub(r"\s+".join(map(re.escape, old.split())), new, text)
        return text

    patch.setattr(Path, "read_text", read_replaced)


def _ignore_their_properties(merge_columns: Any) -> Any:
    def merge_own_properties(contest: Any, *arguments: Any) -> Any:
        if contest.ours is None or contest.theirs is None:
            return merge_columns(contest, *arguments)
        kept = {name: value for name, value in contest.theirs.items() if not name.startswith("properties.")}
        own = {name: value for name, value in contest.ours.items() if name.startswith("properties.")}
        return merge_columns(contest._replace(theirs={**kept, **own}), *arguments)

    return merge_own_properties


def _let_removals_win(merge_columns: Any) -> Any:
    def merge_with_removal(contest: Any, *arguments: Any) -> Any:
        merged = merge_columns(contest, *arguments)
        is_removed = contest.ours is None or contest.theirs is None
        return merged._replace(columns=None, conflicts=()) if is_removed else merged

    return merge_with_removal


def _take_first_base(find_merge_bases: Any) -> Any:
    return lambda ancestry, first, second: find_merge_bases(ancestry, first, second)[:1]


def _lose_parameters(merge_recipe: Any) -> Any:
    def merge_own(recipe: Any, sides: Any, take: Any) -> Any:
        result, conflicts = merge_recipe(recipe, sides, take)
        ours = recipe.get_side(sides.ours)
        return (result if ours is None or result is None else result._replace(parameters=ours.parameters)), conflicts

    return merge_own


def _drop_from_payload(name: str) -> Callable[[Any], Any]:
    """Make a function that lets a step of `combine` record nothing under a name of the payload."""

    def make(combine: Any) -> Any:
        def combine_less(*arguments: Any) -> None:
            combine(*arguments)
            arguments[-1].payload[name] = []

        return combine_less

    return make


MUTANTS: Final = (
    Mutant(
        "theirs is ignored for properties",
        "columns",
        lambda patch: _replace_attribute(patch, "operations.merge.contested:merge_columns", _ignore_their_properties),
    ),
    Mutant(
        "a removal wins over an edit",
        "removal",
        lambda patch: _replace_attribute(patch, "operations.merge.contested:merge_columns", _let_removals_win),
    ),
    Mutant(
        "classes keep equal values",
        "classes",
        lambda patch: _replace_attribute(patch, "operations.merge.classes:make_distinct", lambda _: lambda *_: []),
    ),
    Mutant(
        "of two bases, one counts",
        "criss-cross",
        lambda patch: _replace_attribute(patch, "storage.log.ancestry:Ancestry.find_merge_bases", _take_first_base),
    ),
    Mutant(
        "objects come in the order of positions",
        "order",
        lambda patch: _replace_attribute(patch, "operations.merge.combine:make_order_rows", lambda _: lambda *_: None),
    ),
    Mutant(
        "remembered removals are dropped",
        "removal",
        lambda patch: _replace_attribute(
            patch, "operations.merge.combine:_combine_removals", _drop_from_payload("remembered")
        ),
    ),
    Mutant(
        "tags of the other side are dropped",
        "tags",
        lambda patch: _replace_attribute(patch, "operations.merge.combine:_combine_tags", _drop_from_payload("tags")),
    ),
    Mutant(
        "splits are not checked",
        "split",
        lambda patch: _replace_attribute(
            patch, "operations.merge.merge:make_split_check", lambda _: lambda *_: lambda _revision: None
        ),
    ),
    Mutant(
        "labels of the other side count as up to date",
        "labels",
        lambda patch: _replace_sql(patch, "rasters_to_label.sql", _MADE_AT, "position AS made_at"),
    ),
    Mutant(
        "a parameter of a recipe is lost",
        "recipes",
        lambda patch: _replace_attribute(patch, "operations.merge.recipes:_merge_recipe", _lose_parameters),
    ),
    Mutant(
        "what only the other side changed is not taken",
        "columns",
        lambda patch: _replace_sql(patch, "decision.sql", "THEN 'second' END AS chosen", "THEN 'first' END AS chosen"),
    ),
    Mutant(
        "the published head is not the first parent",
        "published",
        lambda patch: _replace_attribute(
            patch,
            "operations.merge.run:_find_relation",
            lambda find: lambda *arguments: find(*arguments)._replace(onto=None),
        ),
    ),
)
"""The faults; each is found by its script, and by random histories."""
