"""Page: make one HTML file from a template, with all styles, scripts and data in it, and write it.

A page asks for nothing: its Content-Security-Policy lets it run only the scripts that it was made with, and load no
file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import MissingLibraryError, StorageError, UsageError
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, LOCK_FILE

if TYPE_CHECKING:
    from jinja2 import Environment

STATIC_FOLDER: Final = Path(__file__).with_name("static")
"""The scripts and styles that several pages use."""
_FOLDERS: Final = (Path(__file__).with_name("templates"), Path(__file__).parent)
_DATASET_NAMES: Final = frozenset({"rasters", "labels", "history", GEOGRAPHER_FOLDER, ".dvc", ".git", LOCK_FILE})
_POLICY: Final = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "base-uri 'none'; form-action 'none'"
)
_JSON_ESCAPES: Final = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
_END_OF_SCRIPT: Final = re.compile("</script|<!--", re.IGNORECASE)


def require_packages(purpose: str, *packages: str, extra: str = "plot") -> None:
    """Raise `MissingLibraryError` if a package that `purpose` needs is not installed."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise MissingLibraryError(
            f"{purpose} needs the package {missing[0]}. Run: pip install 'geographer-datasets[{extra}]'"
        )


def render_page(
    template: str,
    *,
    title: str,
    description: str = "",
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    **values: Any,
) -> str:
    """Return an HTML page that needs no other file.

    Args:
        template: The name of a template in `templates/` or in a page's folder (`diff/diff.html.jinja`), which extends
            `base.html.jinja` and fills its blocks `header`, `main` and `footer`. All values are escaped. It has no
            scripts: the policy of the page runs only those in `scripts`.
        title: The title of the page and its first heading.
        description: What the page is, in a sentence, for the head.
        scripts: Classic scripts as text, run in this order at the end of the page; see `read_script`.
        styles: More style sheets as text, after `static/page.css`.
        data: Values that scripts read, by the id of the JSON element that has them:
            `JSON.parse(document.getElementById(ID).textContent)`.
        values: What the template names; a name that is missing is an error.

    Raises:
        MissingLibraryError: jinja2 is not installed.
        ValueError: a script contains the end of a script element, or data are not JSON.
    """
    require_packages("an HTML page", "jinja2")
    texts = [_normalize_script(script) for script in scripts]
    return (
        _make_environment()
        .get_template(template)
        .render(
            title=title,
            description=description,
            policy=_format_policy(texts),
            scripts=texts,
            styles=[(STATIC_FOLDER / "page.css").read_text("utf-8"), *styles],
            data={name: encode_json(value) for name, value in (data or {}).items()},
            **values,
        )
    )


def read_script(name: str, folder: Path = STATIC_FOLDER) -> str:
    """Return the text of a script or style sheet of the package, for `render_page`."""
    return (folder / name).read_text("utf-8")


def encode_json(value: Any) -> str:
    """Return a value as JSON that can lie in an element of a page: `<`, `>` and `&` are escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_JSON_ESCAPES)


def write_page(path: str | Path, page: str, root: Path | None = None, *, what: str = "a page") -> Path:
    """Write a page to a file, which is replaced when the new one is complete, and return its path.

    Args:
        path: The file. A symbolic link is followed. A device or a pipe, such as /dev/stdout, is written to.
        page: The HTML.
        root: The dataset's folder, whose own files are refused.
        what: What errors call the page.

    Raises:
        UsageError: the path is that of a folder or of a file of the dataset, or is no path of a file.
        StorageError: the file cannot be written.
    """
    target = resolve_page_path(path, root, what=what)
    try:
        content = page.encode()
    except UnicodeEncodeError:
        # A file name that is not UTF-8 has letters that UTF-8 lacks: they are shown as escapes.
        content = page.encode(errors="backslashreplace")
    # What /dev/stdout leads to, such as a pipe, has no other path.
    write_atomic(Path(path) if Path(path).is_relative_to("/dev") else target, content)
    return target


def resolve_page_path(path: str | Path, root: Path | None = None, *, what: str = "a page") -> Path:
    """Return the file that a page is written to; see `write_page` for the arguments and errors."""
    if not isinstance(path, str | os.PathLike) or not Path(path).name or "\0" in str(path):
        raise UsageError(f"cannot write {what} to {str(path)!r}: it is not the path of a file. Name a file.")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise UsageError(f"cannot write {what} to '{path}': it is a folder. Name a file in it.")
    if not target.parent.is_dir():
        raise StorageError(
            f"cannot write {what} to '{path}': '{Path(path).parent}' is not a folder. Make it, or name another."
        )
    if root is not None and _is_file_of_dataset(target, Path(os.path.realpath(root))):
        raise UsageError(f"cannot write {what} to '{path}': the dataset keeps its own files there. Name another file.")
    return target


def _is_file_of_dataset(target: Path, root: Path) -> bool:
    if not target.is_relative_to(root):
        return False
    parts = target.relative_to(root).parts
    return parts[0] in _DATASET_NAMES or target.suffix == ".dvc" or parts[-1] in (".gitignore", ".dvcignore")


def _make_environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDERS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Callable[..., Any]] = {"number": _format_number}
    environment.filters.update(filters)
    return environment


def _format_number(value: float) -> str:
    return f"{value:,}"


def _normalize_script(script: str) -> str:
    """Return a script as a browser reads it, whose hash the policy has."""
    if _END_OF_SCRIPT.search(script):
        raise ValueError("a script contains '</script' or '<!--', which would end it in a page")
    return script.replace("\r\n", "\n").replace("\r", "\n")


def _format_policy(scripts: Sequence[str]) -> str:
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    return _POLICY.format(scripts=" ".join(f"'sha256-{value}'" for value in dict.fromkeys(hashes)) or "'none'")
