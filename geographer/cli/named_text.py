"""Text that names something, such as a class or a branch: a type of click that says what a shell completes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class NamedText(click.types.StringParamType):
    """The type of a parameter whose value is a name of this kind, or one that users make up ('new name')."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Return the names that begin with `incomplete`."""
        from geographer.cli.completers import complete_value

        return complete_value(self.kind, ctx, param, incomplete)
