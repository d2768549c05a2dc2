"""How help is printed: an example at the end, complete command lists, and hidden old names."""

from copy import copy
from typing import Any

import click


class CommandGroup(click.Group):
    """A group that lists each command with the whole first sentence of its help."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; long descriptions wrap instead of being cut off."""
        with formatter.section("Commands"):
            formatter.write_dl(self.describe_commands(ctx))

    def describe_commands(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Return the name and the one-line description of each command that is not hidden."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, command.get_short_help_str(500)) for name, command in commands if command and not command.hidden]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the name, the command and its arguments; while a shell completes a line, its values complete, too."""
        name, command, rest = super().resolve_command(ctx, args)
        if command and ctx.resilient_parsing:
            from geographer.cli.completers import add_completers

            add_completers(command)
        return name, command, rest

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which the commands are defined."""
        return list(self.commands)

    def add_command(self, cmd: click.Command, name: str | None = None, *, old_name: str = "") -> None:
        """Add a command; it can also be called by a name of earlier releases, which help does not list."""
        super().add_command(cmd, name)
        if old_name:
            hidden_command = copy(cmd)
            hidden_command.name, hidden_command.hidden = old_name, True
            super().add_command(hidden_command)


class RenamedOption(click.Option):
    """An option of which help shows the first name only; the others are names of earlier releases."""

    def get_help_record(self, ctx: click.Context) -> Any:
        """Return the names and the help text, without the old names."""
        current = copy(self)
        current.opts = self.opts[:1]
        return super(RenamedOption, current).get_help_record(ctx)


def format_example(*lines: str) -> str:
    """Return an epilog that shows these command lines, given without the leading `geographer`, one per line."""
    return "\b\nExample:\n" + "\n".join(f"  geographer {line}" for line in lines)
