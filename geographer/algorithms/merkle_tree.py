"""Merkle trees of RFC 9162: the root over a list of entries, and proofs of inclusion and consistency.

The hash of a leaf is the SHA-256 of a zero byte and the entry; that of a node, of the byte 1 and the hashes of both
children. A tree of n entries has the first k on the left, where k is the largest power of two below n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator
from typing import Final

HASH_BYTES: Final = 32
_EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


class MerkleTree:
    """A tree over entries in order; it keeps the hashes of all complete subtrees, 64 bytes for each entry.

    Attributes:
        size: The number of entries.
    """

    def __init__(self, entries: Iterable[bytes]) -> None:
        self._levels = [bytearray()]
        leaves = self._levels[0]
        for entry in entries:
            leaves += hashlib.sha256(b"\0" + entry).digest()
        self.size = len(leaves) // HASH_BYTES
        while len(self._levels[-1]) >= 2 * HASH_BYTES:
            self._levels.append(_pair_hashes(self._levels[-1]))

    def compute_root(self) -> bytes:
        """Return the root of the tree, 32 bytes; the SHA-256 of nothing if it is empty."""
        return self._hash_entries(0, self.size) if self.size else _EMPTY_ROOT

    def prove_inclusion(self, index: int) -> list[bytes]:
        """Return the audit path of an entry, from the leaf up; RFC 9162, section 2.1.3.1."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        path, start, end = [], 0, self.size
        while end - start > 1:
            middle = start + _split_size(end - start)
            left, right = (start, middle), (middle, end)
            (start, end), sibling = (left, right) if index < middle else (right, left)
            path.append(self._hash_entries(*sibling))
        return path[::-1]

    def prove_consistency(self, first_size: int) -> list[bytes]:
        """Return the proof that the first entries are those of the tree of that size; RFC 9162, section 2.1.4.1."""
        if not 0 < first_size <= self.size:
            raise IndexError(first_size)
        path, start, end, is_known = [], 0, self.size, True
        while end != first_size:
            middle = start + _split_size(end - start)
            if first_size <= middle:
                path.append(self._hash_entries(middle, end))
                end = middle
            else:
                path.append(self._hash_entries(start, middle))
                start, is_known = middle, False
        if not is_known:
            path.append(self._hash_entries(start, end))
        return path[::-1]

    def _hash_entries(self, start: int, end: int) -> bytes:
        """Return the hash over the entries from `start` to before `end`; `start` is a multiple of their tree's size."""
        size = end - start
        if size & (size - 1) == 0:
            level = size.bit_length() - 1
            place = (start >> level) * HASH_BYTES
            return bytes(self._levels[level][place : place + HASH_BYTES])
        middle = start + _split_size(size)
        return hash_node(self._hash_entries(start, middle), self._hash_entries(middle, end))


def iter_prefix_roots(entries: Iterable[bytes], sizes: Container[int] | None = None) -> Iterator[bytes]:
    """Yield the root of the tree over the first entries, for each number of entries, or for those in `sizes`."""
    complete: list[tuple[int, bytes]] = []
    for count, entry in enumerate(entries, 1):
        size, digest = 1, hashlib.sha256(b"\0" + entry).digest()
        while complete and complete[-1][0] == size:
            digest = hash_node(complete.pop()[1], digest)
            size *= 2
        complete.append((size, digest))
        if sizes is not None and count not in sizes:
            continue
        root = digest
        for _, left in reversed(complete[:-1]):
            root = hash_node(left, root)
        yield root


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node from those of its children."""
    return hashlib.sha256(b"\1" + left + right).digest()


def _pair_hashes(level: bytearray) -> bytearray:
    """Return the hashes of the complete nodes above a level; a last one without a partner has none."""
    step, above = 2 * HASH_BYTES, bytearray()
    for place in range(0, len(level) - HASH_BYTES, step):
        above += hashlib.sha256(b"\1" + level[place : place + step]).digest()
    return above


def _split_size(size: int) -> int:
    """Return the largest power of two below a size of at least 2: the number of entries on the left."""
    return 1 << ((size - 1).bit_length() - 1)
