"""demo: the whole workflow on real data."""

from pathlib import Path

import click

from geographer.cli.help import format_example


@click.command("demo", epilog=format_example("demo my-demo"))
@click.argument("folder", default="geographer-demo", metavar="[DIR]")
@click.pass_obj
def demo_command(root: str, folder: str) -> None:
    """Run the whole workflow on real data, in a new folder.

    Glaciers of the Rocky Mountains: init, add, cut, label, split, tag v1, more features, update, tag v2, diff, checkout
    v1, verify; and a map with the chips coloured by part of the split.
    """
    from geographer.demo.glaciers import run_demo

    click.echo(f"the map: {run_demo(Path(root) / folder, click.echo)}")
