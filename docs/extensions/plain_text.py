"""Show docstrings and the help of commands as what they are: plain text with code in single backticks.

Sphinx reads both as reStructuredText, in which an asterisk and an underscore at the end of a word have a meaning.
"""

import re
from typing import Any

from sphinx.application import Sphinx

from geographer.cli.help import RenamedOption

BEFORE_NAPOLEON = 400


def escape_markup(line: str) -> str:
    """Return a line of plain text as reStructuredText; what is in backticks stays."""
    parts = re.split(r"(``.+?``|`[^`]*`)", line)
    return "".join(
        part if part.startswith("`") else re.sub(r"\*|(?<=\w)_(?=[^\w:]|$)", r"\\\g<0>", part) for part in parts
    )


def escape_lines(_app: Sphinx, _context: Any, lines: list[str]) -> None:
    """Escape the description of a command."""
    lines[:] = map(escape_markup, lines)


def show_example(_app: Sphinx, _context: Any, lines: list[str]) -> None:
    """Show the end of a help as code under a title: `| Example:`, then lines such as `|   geographer log`."""
    shown: list[str] = []
    for line in lines:
        text = line.removeprefix("|").strip()
        if line.startswith("|   "):
            shown.append("   $ " + text if text.startswith("geographer ") else "   " + text)
        elif text:
            shown += ["", f".. rubric:: {text.removesuffix(':')}", "", ".. code-block:: console", ""]
    lines[:] = [*shown, ""]


def escape_docstring(_app: Sphinx, _kind: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Escape a docstring, before its sections are read."""
    lines[:] = map(escape_markup, lines)


def show_options(_app: Sphinx, context: Any, lines: list[str]) -> None:
    """Escape the help of options, without old names, and without the quotes of defaults that words describe."""
    parameters = context.command.params
    old_names = {name for option in parameters if isinstance(option, RenamedOption) for name in option.opts[1:]}
    for index, line in enumerate(lines):
        if line.startswith(".. option:: "):
            names, _, value = line.removeprefix(".. option:: ").partition(" <")
            kept = [name for name in names.split(", ") if name not in old_names]
            lines[index] = f".. option:: {', '.join(kept)}" + (f" <{value}" if value else "")
        else:
            lines[index] = re.sub(r"^(\s*:default: )``(['\"])(.*)\2``$", r"\1\3", escape_markup(line))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the events of autodoc and sphinx-click."""
    app.connect("autodoc-process-docstring", escape_docstring, priority=BEFORE_NAPOLEON)
    app.connect("sphinx-click-process-description", escape_lines)
    app.connect("sphinx-click-process-epilog", show_example)
    app.connect("sphinx-click-process-options", show_options)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
