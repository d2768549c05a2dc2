"""label: what rasters show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from geographer.dataset import Dataset


def _labelling(command: Callable[..., Any]) -> Callable[..., Any]:
    """What all kinds of labels share."""
    for option in reversed(_LABELLING):
        command = option(command)
    return command


_LABELLING = (
    click.argument("name", metavar="NAME"),
    click.option("--collection", required=True, help="The rasters to label."),
)
_width = click.option(
    "--width", default=None, metavar="3px|5m", help="How wide to draw lines and points, in pixels or metres."
)


def _overlap(rules: list[str], default: str) -> Callable[..., Any]:
    return click.option(
        "--overlap",
        type=click.Choice(rules),
        default=default,
        show_default=True,
        help="What lies on top where objects overlap; by class-order, the class of the larger value.",
    )


@click.group()
def label() -> None:
    """Make labels for rasters."""


@label.command()
@_labelling
@_overlap(["class-order", "smallest-on-top", "newest"], "class-order")
@click.option(
    "--all-touched", is_flag=True, help="Burn every pixel that is touched, not only those whose centre is held."
)
@click.option(
    "--ignore", default=None, type=int, metavar="VALUE", help="Burn this value where the raster has no valid data."
)
@click.option(
    "--ignore-where", default=None, metavar="SQL", help="And over the features for which this expression is true."
)
@_width
@options.workers
@options.changing
@options.dataset
def mask(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **wanted: Any) -> None:
    """Burn a class mask for each raster of a collection: one class value a pixel, 0 is background."""
    result = dataset.label_masks(name, **wanted, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@label.command()
@_labelling
@click.option(
    "--probability",
    "columns",
    multiple=True,
    metavar="CLASS=COLUMN",
    help="Where a class's probability stands, if not in prob_of_class_CLASS.",
)
@click.option("--background-band", is_flag=True, help="A first band with what the classes leave of 1.")
@click.option(
    "--combine",
    type=click.Choice(["mean", "max"]),
    default="mean",
    show_default=True,
    help="Where objects overlap.",
)
@_width
@options.workers
@options.changing
@options.dataset
def soft(
    dataset: Dataset, name: str, columns: tuple[str, ...], signature: dict[str, Any], as_json: bool, **wanted: Any
) -> None:
    """Draw a band of probabilities for each class, from the features' own columns."""
    result = dataset.label_soft(name, columns=_pairs(columns, "--probability CLASS=COLUMN"), **wanted, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@label.command()
@_labelling
@_overlap(["smallest-on-top", "newest"], "smallest-on-top")
@_width
@options.workers
@options.changing
@options.dataset
def instances(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **wanted: Any) -> None:
    """Draw each object with an id of its own; geographer objects lists them."""
    result = dataset.label_instances(name, **wanted, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@label.command()
@_labelling
@_width
@options.workers
@options.changing
@options.dataset
def multilabel(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **wanted: Any) -> None:
    """Draw a band of 0 and 1 for each class, so that classes may overlap."""
    result = dataset.label_multilabel(name, **wanted, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@label.command()
@_labelling
@click.option(
    "--min-visible",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Drop objects of which less lies on the raster.",
)
@click.option(
    "--width", default="1px", show_default=True, metavar="3px|5m", help="How wide lines and points are taken to be."
)
@options.workers
@options.changing
@options.dataset
def boxes(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **wanted: Any) -> None:
    """Box each object, upright and oriented, in pixel coordinates: as JSON files, and in geographer objects."""
    result = dataset.label_boxes(name, **wanted, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@label.command()
@_labelling
@click.option("--maker", required=True, metavar="NAME", help="A label maker that is installed, or module:Class.")
@click.option(
    "--option",
    "chosen",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the label maker; the value as JSON or text.",
)
@_width
@options.workers
@options.changing
@options.dataset
def own(
    dataset: Dataset, name: str, chosen: tuple[str, ...], signature: dict[str, Any], as_json: bool, **wanted: Any
) -> None:
    """Draw labels with a label maker of one's own: an entry point of the group geographer.labels."""
    pairs = {key: _value(text) for key, text in _pairs(chosen, "--option KEY=VALUE").items()}
    result = dataset.label_own(name, options=pairs, **wanted, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


def _pairs(given: Iterable[str], form: str) -> dict[str, str]:
    """`KEY=VALUE` texts as a dictionary."""
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals or not value or key in found:
            raise click.BadParameter(f"'{text}' is not fit: give {form}, each once")
        found[key] = value
    return found


def _value(text: str) -> Any:
    """What a text says as JSON, or the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
