"""JSON text: what GDAL does not give of a GeoJSON file: ids of features as written, and integers beyond 64 bits."""

import json
import mmap
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf)?[\x1e\s]*[{\[]")
_LONG_INTEGER = re.compile(rb"[:,\[\s-]\d{19}")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?', re.DOTALL)
_RECORD_SEPARATOR = b"\x1e"
_MARK = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8."""


class _Feature(msgspec.Struct):
    id: int | float | str | UnsetType | None = UNSET


class _Collection(_Feature):
    features: list[_Feature] | UnsetType = UNSET


def is_json_file(path: Path) -> bool:
    """Return whether a file begins as JSON does, or as a sequence of JSON texts."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _BEGINNING.match(file.read(1024)) is not None


def quote_wide_integers(path: Path, folder: Path) -> Path:
    """Return the path of the file, or of a copy in which integers beyond 64 bits are strings, if it has any.

    GDAL would reject them, or replace them by the nearest integer of 64 bits.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if _LONG_INTEGER.search(content) is None:
            return path
        copy, written = folder / "json" / path.name, 0
        copy.parent.mkdir()
        with copy.open("wb") as target:
            for token in _TOKEN.finditer(content):
                if _is_wide_integer(token[0]):
                    target.write(content[written : token.start()] + b'"' + token[0] + b'"')
                    written = token.end()
            target.write(content[written:])
    return copy


def _is_wide_integer(token: bytes) -> bool:
    return token.removeprefix(b"-").isdigit() and not -(2**63) <= int(token) < 2**63


def read_feature_ids(path: Path) -> list[int | str | None] | None:
    """Return the `id` of each feature of GeoJSON beside its properties; None if no feature has one.

    Features are in the order of the file. Numbers with a fraction become text as JSON writes them.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b'"id"') < 0:
            return None
        ids = [_make_id(feature.id) for feature in _decode_features(content)]
    return ids if any(value is not None for value in ids) else None


def _decode_features(content: mmap.mmap) -> list[_Feature]:
    start = len(_MARK) if content[: len(_MARK)] == _MARK else 0
    with memoryview(content) as view, view[start:] as text:
        try:
            root = msgspec.json.decode(text, type=_Collection)
        except msgspec.MsgspecError:
            return _decode_leniently(bytes(text))
    return [root] if isinstance(root.features, UnsetType) else root.features


def _decode_leniently(content: bytes) -> list[_Feature]:
    """Decode a sequence of features, or JSON with NaN, which GDAL reads too."""
    try:
        lines = msgspec.json.Decoder(_Collection).decode_lines(content)
    except msgspec.MsgspecError:
        lines = []
    if len(lines) > 1:
        return [*lines]
    texts = content.split(_RECORD_SEPARATOR) if _RECORD_SEPARATOR in content else content.splitlines()
    roots = _load_texts([content]) or _load_texts(text for text in texts if text.strip())
    features = roots[0].get("features", roots) if len(roots) == 1 and isinstance(roots[0], dict) else roots
    return [_Feature(feature.get("id", UNSET)) for feature in features if isinstance(feature, dict)]


def _load_texts(texts: Iterable[bytes]) -> list[Any]:
    try:
        return [json.loads(text) for text in texts]
    except ValueError:
        return []


def _make_id(value: object) -> int | str | None:
    if value is None or value is UNSET:
        return None
    return value if isinstance(value, int | str) and not isinstance(value, bool) else json.dumps(value)
