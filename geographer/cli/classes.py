"""classes: list, remap, or derive from probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output
from geographer.cli.help import CommandGroup, format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset
    from geographer.storage.events import ChangeResult


@click.group("classes", cls=CommandGroup, epilog=format_example("classes remap football,baseball=ball"))
def classes_command() -> None:
    """List, combine, rename or drop classes; derive them from probabilities."""


@classes_command.command("list", epilog=format_example("classes list --at v1"))
@options.at_option
@options.json_option
@options.pass_dataset
def list_classes_command(dataset: Dataset, at: str | None, as_json: bool) -> None:
    """List the classes with their values and their numbers of features."""
    output.print_rows(dataset.classes(at).to_pylist(), ("class", "value", "features"), as_json=as_json)


@classes_command.command("remap", epilog=format_example("classes remap football,baseball=ball track=lane court="))
@click.argument("changes", nargs=-1, required=True, metavar="OLD[,OLD…]=[NEW]...")
@options.make_flag(
    "--prune-rasters", "Remove chips that lose their last object, with their labels and split assignments."
)
@options.print_change
def remap_classes_command(dataset: Dataset, changes: tuple[str, ...], **remap_options: Any) -> ChangeResult:
    """Combine, rename or drop classes in one change.

    'football,baseball=ball' combines two classes, 'track=lane' renames one, and 'court=' removes one with its features;
    earlier revisions keep them. The column original_class keeps each feature's first class.
    """
    return dataset.remap_classes(_parse_mapping(changes), **remap_options)


@classes_command.command("from-probabilities", epilog=format_example("classes from-probabilities --threshold 0.5"))
@options.make_option(
    "--threshold PROBABILITY",
    "no threshold",
    "From 0 to 1. Features below it get the background class, or keep their class if there is no background.",
)
@options.print_change
def classes_from_probabilities_command(
    dataset: Dataset, threshold: float | None, **commit_options: Any
) -> ChangeResult:
    """Give each feature the class with the highest probability, read from its columns prob_of_class_<class>."""
    return dataset.set_classes_from_probabilities(threshold, **commit_options)


classes_command.add_old_name("harden", classes_from_probabilities_command)


def _parse_mapping(changes: tuple[str, ...]) -> dict[str, str | None]:
    """Return the new class of each old one in `football,baseball=ball` and `track=`; None drops a class."""
    mapping: dict[str, str | None] = {}
    for change in changes:
        names, equals, target = change.rpartition("=")
        if not equals or not names:
            raise click.BadParameter(
                f"invalid change '{change}'. Use OLD=NEW, e.g. football,baseball=ball, or OLD= to drop a class."
            )
        for name in (part.strip() for part in names.split(",")):
            if name in mapping:
                raise click.BadParameter(f"class '{name}' is given twice. Give each class one target.")
            mapping[name] = target.strip() or None
    return mapping
