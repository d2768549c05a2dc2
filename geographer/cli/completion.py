"""completion: print the script that lets a shell complete commands, options, ids and names; answer such a script."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, shell_complete

from geographer.cli import COMPLETE_VARIABLE, geographer_command
from geographer.cli.help import RenamedOption, format_example
from geographer.cli.shell_words import WordReader, quote_rest

_FOLDER: Final = Path(__file__).with_name("shells")
_FILE_TYPES: Final = ("file", "dir")
"""The types of items for which the shell lists files or folders; the text of one is the `--option=` before the path."""
_INSTALLATION: Final = (
    "\b\nInstall it:\n"
    "  bash: echo 'source <(geographer completion bash)' >> ~/.bashrc\n"
    "  zsh:  echo 'source <(geographer completion zsh)' >> ~/.zshrc\n"
    "  fish: geographer completion fish > ~/.config/fish/conf.d/geographer.fish"
)


class _CompletionScript(ShellComplete):
    """The script of a shell, and the answers to it: type, value and description of each item, ended by zero bytes."""

    @property
    def source_template(self) -> str:  # type: ignore[override]
        """The script, with the names of the command, the function and the variable left open."""
        return (_FOLDER / f"geographer.{self.name}").read_text(encoding="utf-8")

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return the items, each with the `--option=` before its value; not the options of earlier releases."""
        old_flags = _list_old_flags(args)
        items = [item for item in super().get_completions(args, incomplete) if item.value not in old_flags]
        option, equals, _ = incomplete.partition("=")
        if option.startswith("--") and equals:
            for item in items:
                if item.type in _FILE_TYPES:
                    item.help = f"{option}="
                else:
                    item.value = f"{option}={item.value}"
        return [item for item in items if "\0" not in item.value]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return the three texts of an item."""
        return f"{item.type}\0{item.value}\0{(item.help or '').strip()}\0"

    def complete(self) -> str:
        """Return the texts of all items."""
        args, incomplete = self.get_completion_args()
        return "".join(map(self.format_completion, self.get_completions(args, incomplete)))


def _list_old_flags(words: Iterable[str]) -> set[str]:
    """Return the options that the command of a line has from earlier releases."""
    command: click.Command = geographer_command
    for word in words:
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word) or command
    renamed = [parameter for parameter in command.params if isinstance(parameter, RenamedOption)]
    return {flag for parameter in renamed for flag in parameter.opts[1:]}


class BashScript(_CompletionScript):
    """Bash: the arguments are the line up to the cursor, and the end of it that bash replaces."""

    name = "bash"

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the whole words, and the one at the cursor."""
        line, replaced, *_ = [*sys.argv[1:], "", ""]
        words, text, _ = WordReader(line).read_words()
        before = line[: len(line) - len(replaced)] if line.endswith(replaced) else line
        _, self._kept, self._quote = WordReader(before).read_words()
        return words[1:], text

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return the three texts; the value is quoted, and lacks what bash keeps."""
        if item.type in _FILE_TYPES:
            return super().format_completion(item)
        if not item.value.startswith(self._kept):
            return ""
        value = quote_rest(item.value.removeprefix(self._kept), self._quote)
        return f"{item.type}\0{value}\0\0"


class ZshScript(_CompletionScript):
    """Zsh: the arguments are the words, unquoted, and the one at the cursor as it is typed; zsh quotes the values."""

    name = "zsh"

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the whole words, and the one at the cursor."""
        *words, typed = sys.argv[1:] or [""]
        return words, WordReader(typed).read_words().text


class FishScript(_CompletionScript):
    """Fish: the argument is the line up to the cursor; fish quotes the values."""

    name = "fish"

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the whole words, and the one at the cursor."""
        words, text, _ = WordReader("".join(sys.argv[1:2]), is_fish=True).read_words()
        return words[1:], text

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return the three texts; in fish, a tab ends a value."""
        return "" if "\t" in item.value else super().format_completion(item)


_SCRIPTS: Final = {script.name: script for script in (BashScript, ZshScript, FishScript)}


def answer_shell(instruction: str) -> int:
    """Print what a shell asks for, such as 'bash_source' or 'bash_complete'; return the exit code."""
    for script in _SCRIPTS.values():
        add_completion_class(script)
    return shell_complete(geographer_command, {}, "geographer", COMPLETE_VARIABLE, instruction)


@click.command("completion", epilog=f"{_INSTALLATION}\n\n{format_example('completion bash')}")
@click.argument("shell", type=click.Choice(list(_SCRIPTS)))
def completion_command(shell: str) -> None:
    """Print the script that lets bash, zsh or fish complete commands, options, ids and names.

    The names come from the dataset of the current folder, or of -C DIR, as it was left by the last command.
    """
    script = _SCRIPTS[shell](geographer_command, {}, "geographer", COMPLETE_VARIABLE)
    click.echo(script.source(), nl=False)
