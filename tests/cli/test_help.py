"""Every command's help: one line that says what it does, units, defaults, an example, and nothing cut off."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from geographer.cli import COMMANDS, geographer_command, load_command

UNITS = {"PIXELS", "METRES", "SECONDS", "PERCENT", "FRACTION", "PROBABILITY", "COUNT", "FACTOR", "NUMBER", "VALUE"}
"""The metavars of options that take a number; the last three have no unit."""


def walk_commands(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command that is not hidden, with the words that call it."""
    yield path, command
    for name, inner in list_inner_commands(command).items():
        yield from walk_commands(inner, *path, name)


def list_inner_commands(command: click.Command) -> dict[str, click.Command]:
    """Return the commands of a group that are not hidden; other commands have none."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    commands = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: inner for name, inner in commands.items() if inner and not inner.hidden}


ALL_COMMANDS = dict(walk_commands(geographer_command))


def read_help(*path: str) -> str:
    result = CliRunner().invoke(geographer_command, [*path, "--help"], terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(params=ALL_COMMANDS, ids=lambda path: " ".join(path) or "geographer")
def path(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.param


def test_first_line_describes_the_command(path):
    first_line = (ALL_COMMANDS[path].help or "").splitlines()[0]
    assert first_line
    assert first_line[0].isupper()
    assert first_line.endswith(".")
    assert len(first_line) <= 120


def test_help_ends_with_valid_examples(path):
    *_, examples = read_help(*path).split("\n  Example:\n")
    lines = examples.splitlines()
    assert lines
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "geographer"
        parse_words(geographer_command, words)


def parse_words(command: click.Command, words: list[str]) -> None:
    """Parse a command line down to its last command, without running it."""
    if words[:1] == ["-C"]:
        words = words[2:]
    if isinstance(command, click.Group):
        inner = command.get_command(click.Context(command), words[0])
        assert inner is not None, words[0]
        parse_words(inner, words[1:])
    else:
        command.make_context(command.name, words)


def test_help_fits_into_80_columns(path):
    assert max(map(len, read_help(*path).splitlines())) <= 80


def test_help_cuts_nothing_off(path):
    # Repeated arguments are written as PATH...; click ends a description that it cuts off with a small letter and dots.
    assert not re.search(r"[a-z,;.:)'] ?\.\.\.", read_help(*path))


def test_options_state_their_defaults(path):
    for option in list_options(ALL_COMMANDS[path]):
        if not option.is_flag and not option.required:
            record = option.get_help_record(click.Context(ALL_COMMANDS[path]))
            assert record is not None
            assert "[default: " in record[1], option.name


def test_options_have_help_and_units(path):
    for option in list_options(ALL_COMMANDS[path]):
        assert option.help, option.name
        assert option.help.endswith((".", ")")), option.help
        if isinstance(option.type, click.types.FloatParamType | click.types.IntParamType):
            assert option.metavar in UNITS, option.name


def list_options(command: click.Command) -> list[click.Option]:
    return [
        parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name not in ("help", "version")
    ]


def test_command_lists_show_whole_descriptions(path):
    text = " ".join(read_help(*path).split())
    for name, inner in list_inner_commands(ALL_COMMANDS[path]).items():
        assert f"{name} {inner.get_short_help_str(500)}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_command_table_agrees_with_help(name):
    assert load_command(name).name == name
    assert load_command(name).get_short_help_str(500) == COMMANDS[name][1]


CHANGING = ["init", "split", "update", "tag", "download", "add", "remove", "import", "cut", "label"]


@pytest.mark.parametrize("name", CHANGING)
def test_changing_commands_take_commit_options(name):
    shared = {"--message", "--author", "--idempotency-key", "--expect-head", "--dry-run", "--json"}
    for _, command in walk_commands(load_command(name), name):
        if not isinstance(command, click.Group):
            assert shared <= {flag for option in list_options(command) for flag in option.opts}, command.name


@pytest.mark.parametrize(
    ("path", "old_name"),
    [(("cut",), "own"), (("label",), "own"), (("label",), "soft"), (("classes",), "harden")],
)
def test_old_command_names_are_hidden(path, old_name):
    assert read_help(*path, old_name)
    assert f"\n  {old_name} " not in read_help(*path)


@pytest.mark.parametrize(
    ("name", "old_option"), [("download", "--into"), ("download", "--keep-twins"), ("update", "--afresh")]
)
def test_old_option_names_are_hidden(name, old_option):
    (option,) = [option for option in list_options(load_command(name)) if old_option in option.opts]
    assert option.opts[0] != old_option
    assert old_option not in read_help(name)
