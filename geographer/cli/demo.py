"""demo: the whole workflow on real data."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", default="geographer-demo", metavar="[DIR]")
@click.pass_obj
def demo(root: str, folder: str) -> None:
    """The whole workflow on real data, in a new folder.

    Glaciers of the Rocky Mountains: init, features, rasters, cut, label, split, tag v1, more features, update, tag v2,
    diff, checkout v1, verify; and a picture of the map, with chips coloured by split.
    """
    from geographer.demo.glaciers import run

    click.echo(f"the map: {run(Path(root) / folder, click.echo)}")
