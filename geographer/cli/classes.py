"""classes: what there is, combined, renamed, dropped, and hard classes from soft ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output

if TYPE_CHECKING:
    from geographer.dataset import Dataset


@click.group()
def classes() -> None:
    """List, combine, rename or drop classes; make soft ones hard."""


@classes.command("list")
@options.at
@options.as_json
@options.dataset
def list_(dataset: Dataset, at: str | None, as_json: bool) -> None:
    """The classes with their values, and how many features have each."""
    rows = dataset.classes(at).to_pylist()
    if as_json:
        for row in rows:
            output.print_json_line(row)
    else:
        output.print_table(("class", "value", "features"), [list(row.values()) for row in rows])


@classes.command()
@click.argument("changes", nargs=-1, required=True, metavar="OLD[,OLD…]=[NEW]...")
@click.option(
    "--prune-rasters", is_flag=True, help="Remove the chips that lose their last object, with labels and splits."
)
@options.changing
@options.dataset
def remap(
    dataset: Dataset, changes: tuple[str, ...], prune_rasters: bool, signature: dict[str, Any], as_json: bool
) -> None:
    """Combine, rename or drop classes, all at once.

    'football,baseball=ball' makes one class of two, 'track=lane' renames one, 'track=' drops it with its features;
    earlier revisions keep them. The class that a feature had before stands in its column original_class.
    """
    result = dataset.remap_classes(_mapping(changes), prune_rasters=prune_rasters, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@classes.command()
@click.option(
    "--threshold",
    default=None,
    type=float,
    metavar="P",
    help="Below it, a feature becomes background, or keeps its class where there is none.",
)
@options.changing
@options.dataset
def harden(dataset: Dataset, threshold: float | None, signature: dict[str, Any], as_json: bool) -> None:
    """Give each feature the class of its greatest probability, from its columns prob_of_class_<class>."""
    result = dataset.harden_classes(threshold, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


def _mapping(changes: tuple[str, ...]) -> dict[str, str | None]:
    """`football,baseball=ball` and `track=` as old to new classes; None for what is dropped."""
    found: dict[str, str | None] = {}
    for change in changes:
        names, sign, target = change.rpartition("=")
        if not sign or not names:
            raise click.BadParameter(f"'{change}' says nothing: give such as football,baseball=ball, or track= to drop")
        for name in (part.strip() for part in names.split(",")):
            if name in found:
                raise click.BadParameter(f"class '{name}' stands twice: say once what becomes of it")
            found[name] = target.strip() or None
    return found
