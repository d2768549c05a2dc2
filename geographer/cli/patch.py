"""patch: invert or join patches, which need no dataset."""

from typing import Final

import click

from geographer.cli import options
from geographer.cli.help import CommandGroup, format_example
from geographer.diff.patch import Patch, concat_patches, encode_patch, invert_patch, read_patch, write_patch

_output_option = options.make_option("-o --output target FILE", "print it", "The file to write the patch to.")


_EXAMPLES: Final = ("patch invert fix.patch -o undo.patch", "patch concat a.patch b.patch -o both.patch")


@click.group("patch", cls=CommandGroup, epilog=format_example(*_EXAMPLES))
def patch_command() -> None:
    """Invert a patch, or join two patches into one."""


@patch_command.command("invert", epilog=format_example("patch invert fix.patch -o undo.patch"))
@click.argument("path", metavar="PATCH")
@_output_option
def invert_command(path: str, target: str | None) -> None:
    """Make the patch that undoes PATCH."""
    _output_patch(invert_patch(read_patch(path)), target)


@patch_command.command("concat", epilog=format_example("patch concat a.patch b.patch -o both.patch"))
@click.argument("first", metavar="PATCH1")
@click.argument("second", metavar="PATCH2")
@_output_option
def concat_command(first: str, second: str, target: str | None) -> None:
    """Make the patch that does what PATCH1 does and then PATCH2.

    PATCH2 must start at the revision that PATCH1 leads to.
    """
    _output_patch(concat_patches(read_patch(first), read_patch(second)), target)


def _output_patch(patch: Patch, target: str | None) -> None:
    if target is None:
        click.echo(encode_patch(patch), nl=False)
    else:
        write_patch(patch, target)
