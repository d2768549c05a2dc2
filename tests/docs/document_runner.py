"""Run the snippets of a document in a folder, and compare what they print with what the document shows.

A block of commands has prompts: `$ `, or the folder in which the command runs and `$ `, such as `ada/ponds$ `. The lines
below are what it prints; `…` is for any lines. A block of `bash` or `sh` has commands alone. The Python of a document is
one program; what follows `print(…)  # ` in a line is what it prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from click.testing import CliRunner

from geographer.base.errors import GeographerError
from geographer.cli import geographer_command
from tests import REPOSITORY
from tests.docs.snippets import Snippet, list_snippets
from tests.examples.script_runner import print_warnings

PROMPT = re.compile(r"^([\w/.-]*)\$ (.*)$")
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


class ShownCommand(NamedTuple):
    """A command of a document, the folder of its prompt, and the lines that are shown below it."""

    folder: str
    command: str
    shown: list[str]


def parse_commands(text: str) -> list[ShownCommand]:
    """Return the commands of a block with prompts; a line that ends with a backslash goes on in the next."""
    commands: list[ShownCommand] = []
    for line in text.replace("\\\n", " ").splitlines():
        if match := PROMPT.match(line):
            commands.append(ShownCommand(match[1], match[2], []))
        else:
            commands[-1].shown.append(line)
    return commands


def mask_variable_text(lines: list[str]) -> list[str]:
    """Replace digests, times, versions of software and absolute folders, which differ from run to run."""
    text = "\n".join(line.rstrip() for line in lines).rstrip()
    text = re.sub(r"\b[0-9a-f]{8,64}\b", "#", text)
    text = re.sub(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d(\.\d+)?Z?)?", "TIME", text)
    text = re.sub(r"[\d,]+ (objects?), [\d,]+ bytes sent", r"# \1 sent", text)
    text = re.sub(r"(?<![\w$.])/[^\s':]*/", "/…/", text)
    return re.sub(r" +", " ", text).splitlines()


def find_missing_lines(shown: list[str], printed: list[str]) -> list[str]:
    """Return the shown lines from the first one that was not printed where it is shown; the last is what was printed."""
    position = 0
    may_skip = False
    for index, line in enumerate(shown):
        if line == "…":
            may_skip = True
            continue
        rest = printed[position:]
        offset = rest.index(line) if may_skip and line in rest else 0
        if not rest or rest[offset] != line:
            return [*shown[index:], f"printed: {rest}"]
        position, may_skip = position + offset + 1, False
    return [] if may_skip or position == len(printed) else [f"not shown: {printed[position:]}"]


class DocumentRunner:
    """Runs the snippets of a document, one after the other."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None, start: str = ".") -> None:
        self.base = folder
        self.folder = folder / start
        self.environment = {"GEOGRAPHER_AUTHOR": "Ada", "DVC_NO_ANALYTICS": "1", **(environment or {})}
        self.names: dict[str, Any] = {}

    def run_snippet(self, snippet: Snippet) -> list[str]:
        """Run a snippet, and return what is not as the document shows it."""
        if snippet.language == "python":
            return self.run_python(snippet)
        if snippet.language == "sql":
            self.run_sql(snippet.text)
            return []
        if snippet.language in ("console", "shellsession"):
            return [problem for command in parse_commands(snippet.text) for problem in self.compare_output(command)]
        for line in snippet.text.replace("\\\n", " ").splitlines():
            self.run_command(line, must_succeed=True)
        return []

    def compare_output(self, command: ShownCommand) -> list[str]:
        """Run a command, and return the lines that it does not print as shown, after the command."""
        printed = mask_variable_text(self.run_command(command.command, command.folder))
        missing = find_missing_lines(mask_variable_text(command.shown), printed)
        return [command.command, *missing] if missing else []

    def run_command(self, command: str, folder: str = "", *, must_succeed: bool = False) -> list[str]:
        """Run a command in a folder of the scene, or in the current one, and return the lines that it prints.

        `geographer` and scripts run in this process, unless a shell has to connect them with others, because a process
        takes a CPU second to start.
        """
        if folder:
            self.folder = self.base / folder
        words = split_command(command)
        if words[:1] == ["cd"]:
            self.folder /= words[1]
            return []
        in_process = {"geographer": self.run_geographer, "python": self.run_script}
        code, output = in_process.get((words or [""])[0], self.run_shell)(command)
        assert code == 0 or not must_succeed, f"{command}: {output}"
        return output.splitlines()

    def run_geographer(self, command: str) -> tuple[int, str]:
        """Run a command of geographer in this process, and return its exit code and what it prints."""
        with pytest.MonkeyPatch.context() as patch, print_warnings():
            patch.chdir(self.folder)
            result = CliRunner().invoke(geographer_command, split_command(command)[1:], env=self.environment)
        error = result.exception
        if isinstance(error, GeographerError):
            return error.exit_code, f"{result.stdout}{result.stderr}Error: {error}\n"
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return result.exit_code, result.stdout + result.stderr

    def run_script(self, command: str) -> tuple[int, str]:
        """Run a script of Python in this process, and return its exit code and what it prints."""
        _, script, *arguments = split_command(command)
        output, code = io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", [script, *arguments])
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as error:
                code = int(error.code or 0)
        return code, output.getvalue()

    def run_shell(self, command: str) -> tuple[int, str]:
        """Run a command by bash, and return its exit code and what it prints."""
        environment = {**os.environ, "PATH": PATH, "PYTHONPATH": str(REPOSITORY), **self.environment}
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def run_python(self, snippet: Snippet) -> list[str]:
        """Run Python, and return the lines that comments behind `print` show, and that it does not print."""
        output = io.StringIO()
        # The line numbers of a traceback are those of the document.
        code = compile("\n" * snippet.line + snippet.text, str(REPOSITORY / snippet.document), "exec")
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
            patch.chdir(self.folder)
            exec(code, self.names)
        printed = output.getvalue().splitlines()
        shown = re.findall(r"^print\(.*\)  # (.*)$", snippet.text, re.MULTILINE)
        return find_missing_lines(mask_variable_text(shown), mask_variable_text(printed)) if shown else []

    def run_sql(self, text: str) -> None:
        """Run SQL by DuckDB in the current folder."""
        with pytest.MonkeyPatch.context() as patch, duckdb.connect() as connection:
            patch.chdir(self.folder)
            connection.execute(text).fetchall()


def split_command(command: str) -> list[str]:
    """Return the words of a command without its comment; an empty list if it needs a shell."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words = list(lexer)
    has_operator = any({*word} <= {*"|&;<>"} for word in words)
    return [] if has_operator or "$" in command.replace("'", "") else words


def write_output(document: str, runner: DocumentRunner) -> None:
    """Run the snippets of a document, and write what its commands print into it, where it shows something else."""
    path = REPOSITORY / document
    text = path.read_text()
    for snippet in list_snippets(document):
        if snippet.reason:
            continue
        if snippet.language not in ("console", "shellsession"):
            print(*runner.run_snippet(snippet), sep="\n")
            continue
        lines: list[str] = []
        for folder, command, shown in parse_commands(snippet.text):
            printed = [line.replace(str(runner.base), "/home/ada") for line in runner.run_command(command, folder)]
            is_shown = not find_missing_lines(mask_variable_text(shown), mask_variable_text(printed))
            lines += [f"{folder}$ {command}", *(shown if is_shown else printed)]
        text = text.replace(snippet.text, "".join(f"{line.rstrip()}\n" for line in lines))
    path.write_text(text)
