"""Content digest: hash the sorted lines of a revision's content, as `content_digest.sql` defines it, in less time."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_LINES: Final = "SELECT line || chr(10) AS line FROM content_line ORDER BY line"
_KINDS: Final = ("class", "feature", "label", "label_object", "raster", "split")
"""The kinds of objects in the order of their lines, which begin with the kind and a space."""
_DIGEST_CHARACTERS: Final = 64
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
    if count < _MANY or has_unreadable:
        for chunk in connection.execute(_LINES).to_arrow_table()["line"].chunks:
            digest.update("".join(chunk.to_pylist()).encode())
        return digest.hexdigest()
    for kind in _KINDS:
        digests = connection.execute(f"SELECT row_digest FROM current_{kind}").to_arrow_table()["row_digest"]  # noqa: S608
        digest.update(_sort_lines(kind, digests))
    return digest.hexdigest()


def _sort_lines(kind: str, digests: pa.ChunkedArray) -> bytes:
    """Return the sorted lines of one kind: the kind, a space, the digest."""
    import numpy as np

    if not len(digests):
        return b""
    text = b"".join(_read_characters(chunk) for chunk in digests.chunks)
    characters = np.frombuffer(text, np.uint8).reshape(len(digests), _DIGEST_CHARACTERS)
    keys = np.frombuffer(bytes.fromhex(text.decode()), ">u8").reshape(len(digests), -1)[:, 0].astype(np.uint64)
    order = np.argsort(keys)
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(np.frombuffer(text, f"S{_DIGEST_CHARACTERS}"), kind="stable")
    prefix = np.frombuffer(f"{kind} ".encode(), np.uint8)
    lines = np.empty((len(digests), len(prefix) + _DIGEST_CHARACTERS + 1), np.uint8)
    lines[:, : len(prefix)] = prefix
    lines[:, len(prefix) : -1] = characters[order]
    lines[:, -1] = ord("\n")
    return lines.tobytes()


def _read_characters(chunk: pa.StringArray) -> bytes:
    """Return the characters of all texts of a chunk, one after the other."""
    import numpy as np

    _, offsets, data = chunk.buffers()
    width = np.dtype(np.int32 if str(chunk.type) == "string" else np.int64)
    starts = np.frombuffer(offsets, width)[chunk.offset : chunk.offset + len(chunk) + 1]
    return memoryview(data)[int(starts[0]) : int(starts[-1])].tobytes()
