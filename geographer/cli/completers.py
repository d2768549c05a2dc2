"""What a shell offers for a value, by the kind of the value: names of the dataset, revisions, files, or words.

A parameter's kind is declared with it (`Parameter.kind` or `type=NamedText(…)`), or it follows from its metavar (`REV`)
or from its name (`--collection`), which mean the same in every command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from geographer.cli.named_text import NamedText

if TYPE_CHECKING:
    from geographer.outputs.completion.names import NameSearch

Items = list[CompletionItem[str]]

PART: Final = "part"
"""The type of an item after which the value goes on, so that no space follows."""
_FREE_METAVARS: Final = (
    *("TEXT", "KEY", "URL", "TIME", "TSA", "CREATOR", "GLOB", "QUERY", "NUMBERS", "SIZE", "BANDS", "CRS", "AREA"),
    *("NEW", "ADDRESS", "COLUMN", "SQL", "KEY=VALUE", "NAME=VALUE", "NAME=NUMBER", "NAME,…", "OLD=NEW"),
    *("WEST,SOUTH,EAST,NORTH", "[PATTERN=]1,2,3"),
)
"""The metavars of values that only the user knows."""
_METAVAR_KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("REV", "A", "B"), "revision"),
    **dict.fromkeys(("FILE", "PATH", "PATCH", "PATCH1", "PATCH2", "FILE[:BANDS]", "COMMAND …"), "file"),
    **dict.fromkeys(("DIR", "OTHER", "URL-or-PATH"), "folder"),
    "CHIP": "raster",
    "OBJECT": "object",
    "COLLECTION=LICENCE": "key:collection",
    "CLASS=COLUMN": "key:class",
    "DIGEST": "head digest",
    "NAME=CLASS": "value:class",
    "NAME=FRACTION,…": "key:part",
    "NAMES": "column",
    "OLD[,OLD…]=[NEW]": "key:class",
    "VALUE=CLASS,…": "value:class",
}
_SAME_KINDS: Final = {"labels": "label", "as-class": "class"}
_NAMING_METAVARS: Final = ("", "NAME", "ID")
_NAME_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    **{
        kind: (kind,)
        for kind in (
            *("feature", "raster", "removed feature", "removed raster", "collection", "class", "label", "split"),
            *("part", "recipe", "tag", "branch", "head digest", "attribute", "remote", "root", "any raster", "author"),
        )
    },
    "object id": ("feature", "raster"),
    "branch to switch to": ("branch", "fetched branch"),
}
_NAMED_KINDS: Final = frozenset((*_NAME_KINDS, "source", "reader"))
_OBJECT_KINDS: Final[Mapping[str, str]] = {
    "feature:": "feature",
    "raster:": "raster",
    "class:": "class",
    "recipe:": "recipe",
    "split:": "split",
}
_LABEL: Final = "label:"
_LABELLED: Final = "/"
_DIGEST_START: Final = re.compile(r"[0-9a-f]{4,}")
_HEADS: Final = ("HEAD", "HEAD~1")


def find_kind(parameter: click.Parameter) -> str | None:
    """Return the kind of a parameter's values, if it is declared or follows from metavar or name; None: free text."""
    if isinstance(parameter.type, NamedText):
        return parameter.type.kind
    metavar = clean_metavar(parameter)
    if kind := _METAVAR_KINDS.get(metavar):
        return kind
    if "|" in metavar:
        return "words"
    names = [metavar.lower()]
    if metavar in _NAMING_METAVARS:
        names = [flag.lstrip("-") for flag in (*parameter.opts, parameter.name or "")]
    return next((kind for name in names if (kind := _SAME_KINDS.get(name, name)) in _NAMED_KINDS), None)


def clean_metavar(parameter: click.Parameter) -> str:
    """Return the metavar of a parameter without what says that it is optional or repeated."""
    metavar = (parameter.metavar or "").removesuffix("...")
    is_optional = metavar.startswith("[") and metavar.endswith("]") and metavar.count("[") == 1
    return metavar[1:-1] if is_optional else metavar


def is_free_text(parameter: click.Parameter) -> bool:
    """Return whether only the user can know the values of a parameter."""
    return clean_metavar(parameter) in _FREE_METAVARS


def add_completers(command: click.Command) -> None:
    """Let the text parameters of a command complete the kind that their metavar or name says."""
    for parameter in command.params:
        if parameter.type is click.STRING and (kind := find_kind(parameter)):
            parameter.type = NamedText(kind)


def complete_value(kind: str, ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Return what a value of this kind can be that begins with `incomplete`."""
    if kind in ("file", "folder"):
        return [CompletionItem(incomplete, type="dir" if kind == "folder" else "file")]
    if kind == "words":
        return _complete_words(clean_metavar(parameter), incomplete)
    search = _make_search(ctx)
    side, _, name = kind.partition(":")
    if name:
        return _complete_pair(search, incomplete, name, is_key=side == "key")
    special: Mapping[str, Callable[[], Items]] = {
        "revision": lambda: _complete_revision(search, incomplete),
        "object": lambda: _complete_object(search, incomplete),
        "column": lambda: _complete_columns(search, ctx.info_name or "", incomplete),
        "source": lambda: _complete_plugin("geographer.archives.base", "SOURCES", incomplete),
        "reader": lambda: _complete_plugin("geographer.readers.base", "READERS", incomplete),
    }
    if kind in special:
        return special[kind]()
    return _make_items(search.find_names(_NAME_KINDS.get(kind, ()), incomplete))


def _make_search(ctx: click.Context) -> NameSearch:
    """Return a search in the dataset of -C; with --at, ids of all revisions are offered."""
    from geographer.outputs.completion.names import NameSearch

    folder = ctx.find_root().params.get("folder") or "."
    return NameSearch(Path(folder).expanduser(), is_any_revision=bool(ctx.params.get("at")))


def _make_items(names: Iterable[str], before: str = "", after: str = "") -> Items:
    """Return an item for each name; with `after`, the value goes on behind it."""
    return [CompletionItem(f"{before}{name}{after}", type=PART if after else "plain") for name in names]


def _complete_words(metavar: str, incomplete: str) -> Items:
    """Return the words of a metavar such as `ours|theirs|FILE`; files, if it has FILE and no word fits."""
    words = metavar.split("|")
    items = _make_items(word for word in words if re.fullmatch("[a-z]+", word) and word.startswith(incomplete))
    return items if items or "FILE" not in words else [CompletionItem(incomplete, type="file")]


def _complete_pair(search: NameSearch, incomplete: str, kind: str, *, is_key: bool) -> Items:
    """Return the names on the left (`is_key`) or the right of '=', in the last pair of a list with commas."""
    before, comma, pair = incomplete.rpartition(",")
    key, equals, value = pair.partition("=")
    if is_key == bool(equals):
        return []
    if is_key:
        return _make_items(search.find_names([kind], key), before + comma, "=")
    return _make_items(search.find_names([kind], value), f"{before}{comma}{key}=")


def _complete_plugin(module: str, plugin_kind: str, incomplete: str) -> Items:
    """Return the plugins that geographer has of a kind; others are given as module:name."""
    plugins: Mapping[str, str] = getattr(import_module(module), plugin_kind).built_in
    return _make_items(name for name in plugins if name.startswith(incomplete))


def _complete_columns(search: NameSearch, table: str, incomplete: str) -> Items:
    """Return the columns of a table, behind those that are listed already."""
    before, comma, name = incomplete.rpartition(",")
    listed = before.split(",")
    return _make_items((column for column in search.find_columns(table, name) if column not in listed), before + comma)


def _complete_revision(search: NameSearch, incomplete: str) -> Items:
    """Return HEAD, its parent, tags and branches; positions after '@', and digests after four of their digits."""
    kinds = ["tag", "branch", "fetched branch"]
    if incomplete.startswith("@"):
        kinds = ["position"]
    elif _DIGEST_START.fullmatch(incomplete):
        kinds.append("digest")
    heads = [head for head in _HEADS if head.startswith(incomplete)]
    return _make_items([*heads, *search.find_names(kinds, incomplete)])


def _complete_object(search: NameSearch, incomplete: str) -> Items:
    """Return ids and the kinds that can precede a name, such as `class:`; behind one of these, the names."""
    for head, kind in _OBJECT_KINDS.items():
        if incomplete.startswith(head):
            return _make_items(search.find_names([kind], incomplete.removeprefix(head)), head)
    if incomplete.startswith(_LABEL):
        label, slash, raster = incomplete.removeprefix(_LABEL).partition(_LABELLED)
        if not slash:
            return _make_items(search.find_names(["label"], label), _LABEL, _LABELLED)
        return _make_items(search.find_names(["labelled raster"], raster, label), f"{_LABEL}{label}{_LABELLED}")
    heads = _make_items(head[:-1] for head in (*_OBJECT_KINDS, _LABEL) if head.startswith(incomplete))
    ids = _make_items(search.find_names(_NAME_KINDS["object id"], incomplete))
    return [*ids, *(CompletionItem(f"{head.value}:", type=PART) for head in heads)]
