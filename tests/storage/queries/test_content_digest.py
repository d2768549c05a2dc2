"""Content digest: the fast way and the documented one agree."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from geographer.storage.queries import content_digest
from geographer.storage.queries.content_digest import _iter_sorted_lines


@pytest.mark.parametrize("count", [0, 1, 1000, 9000])
def test_lines_are_sorted_as_text(count):
    """Also with digests that agree in their first 64 bits, in several chunks, and in slices of longer tables."""
    numbers = np.random.default_rng(7).integers(0, 256, (count, 32), dtype=np.uint8)
    numbers[count // 2 :, :8] = 17
    digests = [number.tobytes().hex() for number in numbers]
    column = pa.chunked_array([["0" * 64, *digests[:300]], digests[300:]], pa.string()).slice(1)
    expected = "".join(sorted(f"feature {digest}\n" for digest in digests))
    assert b"".join(bytes(lines) for lines in _iter_sorted_lines("feature", column)) == expected.encode()


def test_many_lines_give_the_documented_digest(dataset, monkeypatch):
    dataset.add_classes(["pond", "lake"])
    with dataset._unit_of_work.open_revision() as revision:
        lines = [f"{line}\n" for (line,) in revision.fetch_rows("SELECT line FROM content_line")]
        expected = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
        assert revision.compute_content_digest() == expected
        monkeypatch.setattr(content_digest, "_MANY", 0)
        assert revision.compute_content_digest() == expected
