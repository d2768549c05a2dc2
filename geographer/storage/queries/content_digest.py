"""Content digest: hash the sorted lines of a revision's content, as `content_digest.sql` defines it, in less time."""

from __future__ import annotations

import hashlib
from binascii import unhexlify
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_LINES: Final = "SELECT line || chr(10) AS line FROM content_line ORDER BY line"
_KINDS: Final = ("class", "feature", "label", "label_object", "raster", "split")
"""The kinds of objects in the order of their lines, which begin with the kind and a space."""
CONTENT_VIEWS: Final = ("content_line", *(f"current_{kind}" for kind in _KINDS), "current_unreadable_row")
"""The views of a revision that the digest reads."""
_DIGEST_CHARACTERS: Final = 64
_BLOCK: Final = 1 << 12
_FEW: Final = 10_000
"""Fewer lines are read without pyarrow, whose import takes longer."""
_MANY: Final = 50_000
"""From so many lines on, numpy sorts them, whose import takes as long as DuckDB needs for these."""


def compute_content_digest(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the digest of the content of the open revision, in hex.

    DuckDB's sha256 takes three times as long as hashlib's, and sorting the lines as text as long again as sorting the
    first 64 bits of their digests.
    """
    counts = " + ".join(f"(SELECT count(*) FROM current_{kind})" for kind in _KINDS)  # noqa: S608
    query = f"SELECT {counts}, EXISTS (FROM current_unreadable_row)"
    ((count, has_unreadable),) = connection.execute(query).fetchall()
    digest = hashlib.sha256()
    if count < _FEW:
        rows = connection.execute(_LINES).fetchall()
        return hashlib.sha256("".join(line for (line,) in rows).encode()).hexdigest()
    if count < _MANY or has_unreadable:
        for chunk in connection.execute(_LINES).to_arrow_table()["line"].chunks:
            digest.update("".join(chunk.to_pylist()).encode())
        return digest.hexdigest()
    for kind in _KINDS:
        digests = connection.execute(f"SELECT row_digest FROM current_{kind}").to_arrow_table()["row_digest"]  # noqa: S608
        for lines in _iter_sorted_lines(kind, digests):
            digest.update(lines)
    return digest.hexdigest()


def _iter_sorted_lines(kind: str, digests: pa.ChunkedArray) -> Iterator[memoryview]:
    """Yield the sorted lines of one kind in blocks: the kind, a space, the digest."""
    import numpy as np

    if not len(digests):
        return
    text = np.concatenate([_read_characters(chunk) for chunk in digests.chunks])
    values = text.view(f"V{_DIGEST_CHARACTERS}")
    keys = np.frombuffer(unhexlify(text.data), ">u8").reshape(len(values), -1)[:, 0].astype(np.uint64)
    order = np.argsort(keys)
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(text.view(f"S{_DIGEST_CHARACTERS}"), kind="stable")
    prefix = f"{kind} ".encode()
    # A block that stays in the processor's cache takes half the time of one array of all lines.
    lines = np.empty(_BLOCK, [("prefix", f"V{len(prefix)}"), ("digest", values.dtype), ("end", "V1")])
    lines["prefix"], lines["end"] = np.void(prefix), np.void(b"\n")
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        lines["digest"][: len(block)] = values[block]
        yield lines[: len(block)].view(np.uint8).data


def _read_characters(chunk: pa.StringArray) -> npt.NDArray[np.uint8]:
    """Return the characters of all texts of a chunk, one after the other."""
    import numpy as np

    _, offsets, data = chunk.buffers()
    width = np.dtype(np.int32 if str(chunk.type) == "string" else np.int64)
    starts = np.frombuffer(offsets, width)[chunk.offset : chunk.offset + len(chunk) + 1]
    return np.frombuffer(data, np.uint8)[int(starts[0]) : int(starts[-1])]
