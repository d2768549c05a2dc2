"""split and update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output

if TYPE_CHECKING:
    from geographer.dataset import Dataset


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--collection", required=True, help="The rasters to assign.")
@click.option(
    "--parts",
    required=True,
    type=options.shares,
    metavar="NAME=SHARE,…",
    help="The parts and their shares, such as train=0.7,val=0.15,test=0.15.",
)
@options.bound_by
@options.buffer
@click.option(
    "--stratify",
    type=click.Choice(["class"]),
    default=None,
    help="Keep near to the shares in every class, too.",
)
@options.where
@click.option("--seed", default=0, show_default=True, help="Decides among assignments that are equally good.")
@options.on_conflict
@options.changing
@options.dataset
def split(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **wanted: Any) -> None:
    """Assign rasters to parts so that nothing leaks between them."""
    output.print_result(dataset.split(name, **wanted, **signature), as_json=as_json, dry_run=signature["dry_run"])


@click.command()
@options.workers
@options.on_conflict
@click.option("--no-downloads", "downloads", is_flag=True, default=True, flag_value=False, help="Ask no archive.")
@click.option("--afresh", is_flag=True, help="Make covers anew, with the fewest chips that can be.")
@options.changing
@options.dataset
def update(
    dataset: Dataset,
    workers: int,
    on_conflict: Any,
    afresh: bool,
    downloads: bool,
    signature: dict[str, Any],
    as_json: bool,
) -> None:
    """Bring what every recipe made up to the dataset.

    Each recipe that has something to do appends one event. Only what a change affects is made again; what is no longer
    wanted is retired, and stays in history. Downloads run first; what they can't have makes the exit code 6.
    """
    results = []
    asked = {"workers": workers, "on_conflict": on_conflict, "afresh": afresh, "downloads": downloads}
    for result in dataset.updating(**asked, **signature):
        output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])
        results.append(result)
    if not results and not as_json:
        click.echo("no recipe to run: see geographer download, cut, label and split")
    output.exit_if_incomplete(results)
