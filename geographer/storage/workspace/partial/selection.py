"""The selection of a partial clone: which files it takes, in `.geographer/partial.json`, a file of one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Final, Self

import msgspec
from msgspec import Meta

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import CorruptError, UnsupportedVersionError, UsageError
from geographer.base.text import is_unicode, quote_start
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER
from geographer.storage.queries.bounding_box import BoundingBox, parse_bbox, require_degrees

PARTIAL_FILE: Final = "partial.json"
"""The file in the dataset's own folder that says what a partial clone takes; a clone without it takes all files."""
PARTIAL_VERSION: Final = 1
_MAX_BYTES: Final = 1 << 24
_REMEDY: Final = "Write it again: geographer fetch --all for all files, or geographer fetch --bbox … for a part."

_Texts = Annotated[tuple[str, ...], Meta(min_length=1)]


class FileSelection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which rasters to take, with their labels; all conditions that are given must hold.

    Attributes:
        bbox: Rasters that meet this box, or that show a feature in it; see `BoundingBox`.
        where: Rasters that contain or intersect a feature for which this SQL expression is true.
        collections: Rasters of these collections, and the chips cut from them.
        subsets: Rasters in these parts of splits, as `SPLIT/PART`, and the chips cut from them.
        rasters: Rasters with these ids.
    """

    bbox: BoundingBox | None = None
    where: str | None = None
    collections: _Texts | None = None
    subsets: _Texts | None = None
    rasters: _Texts | None = None

    def format_conditions(self) -> str:
        """Return the conditions as the command line takes them: `--bbox 6,45,7,46 --collection scenes`."""
        words = [] if self.bbox is None else [f"--bbox {','.join(f'{number:g}' for number in self.bbox)}"]
        words += [] if self.where is None else [f'--where "{quote_start(self.where)}"']
        lists = {"collection": self.collections, "subset": self.subsets, "raster": self.rasters}
        for name, values in lists.items():
            words += [f"--{name} {value}" for value in (values or ())[:3]]
            words += [f"and {len(values) - 3:,} more"] if values and len(values) > 3 else []
        return " ".join(words)


class PartialClone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a partial clone takes: the rasters that any of the selections chooses.

    Attributes:
        version: The version of the file's format.
        selections: The selections, the first one that of the clone.
    """

    version: Annotated[int, Meta(ge=1)]
    selections: Annotated[tuple[FileSelection, ...], Meta(min_length=1)]

    def add_selection(self, selection: FileSelection) -> Self:
        """Return the partial clone that takes what one more selection chooses, too."""
        if selection in self.selections:
            return self
        return type(self)(self.version, (*self.selections, selection))

    def format_selections(self) -> str:
        """Return the conditions of all selections: `--bbox 6,45,7,46; --collection scenes`."""
        return "; ".join(selection.format_conditions() for selection in self.selections)


def make_selection(
    *,
    bbox: Any = None,
    where: str | None = None,
    collections: Any = None,
    subsets: Any = None,
    rasters: Any = None,
) -> FileSelection | None:
    """Return the selection that a user's conditions make, or None if there are none.

    `UsageError` if one has an invalid form. What needs a revision is checked by `resolve_selection`.
    """
    box = None if bbox is None else parse_bbox(bbox)
    if box is not None:
        require_degrees(box)
    if where is not None and not (isinstance(where, str) and is_unicode(where) and where.strip()):
        raise UsageError(f"invalid --where {where!r}. Use an SQL expression over the columns of features.")
    lists = {"collections": collections, "subsets": subsets, "rasters": rasters}
    names = {name: _list_names(name.removesuffix("s"), value) for name, value in lists.items()}
    selection = FileSelection(bbox=box, where=where, **names)
    return None if selection == FileSelection() else selection


def make_partial_clone(selection: FileSelection) -> PartialClone:
    """Return the partial clone of one selection."""
    return PartialClone(PARTIAL_VERSION, (selection,))


def read_partial_clone(root: Path) -> PartialClone | None:
    """Return what the dataset in `root` takes of the files; None if it takes all.

    Raises:
        UnsupportedVersionError: a newer version of geographer wrote the file.
        CorruptError: it is damaged.
    """
    path = _find_path(root)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CorruptError(f"cannot read '{path}' ({error.strerror}). {_REMEDY}") from error
    try:
        if (version := msgspec.json.decode(content, type=_Version).version) > PARTIAL_VERSION:
            raise UnsupportedVersionError(
                f"a newer version of geographer made this partial clone ('{path}', version {version}). Upgrade "
                "geographer."
            )
        return msgspec.json.decode(content, type=PartialClone)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptError(f"'{path}', which says what this partial clone takes, is damaged: {error}. {_REMEDY}") from (
            error
        )


def write_partial_clone(root: Path, clone: PartialClone | None) -> None:
    """Write what the dataset in `root` takes of the files; None: all."""
    if clone is None:
        _find_path(root).unlink(missing_ok=True)
    else:
        write_atomic(_find_path(root), msgspec.json.format(msgspec.json.encode(clone), indent=2) + b"\n")


class _Version(msgspec.Struct):
    version: Annotated[int, Meta(ge=1)]


def _find_path(root: Path) -> Path:
    return root / GEOGRAPHER_FOLDER / PARTIAL_FILE


def _list_names(option: str, value: Any) -> tuple[str, ...] | None:
    """Return one name or many as a tuple, each once; None if there are none. `UsageError` for other values."""
    if value is None:
        return None
    items = [value] if isinstance(value, str | Integral) and not isinstance(value, bool) else value
    if isinstance(items, Mapping) or not isinstance(items, Sequence | set | frozenset):
        raise UsageError(f"invalid --{option} {value!r}. Use a name, or many of them.")
    names = [str(item) if isinstance(item, Integral) and not isinstance(item, bool) else item for item in items]
    if invalid := [name for name in names if not (isinstance(name, str) and name and is_unicode(name))]:
        raise UsageError(f"invalid --{option} {invalid[0]!r}. Use a name.")
    return tuple(dict.fromkeys(names)) or None
