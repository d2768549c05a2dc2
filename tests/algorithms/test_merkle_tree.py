"""Merkle trees against the recursive definitions of RFC 9162, and against the checks of `examples/check_proof.py`."""

from __future__ import annotations

import hashlib
from itertools import islice

import pytest

from examples.check_proof import check_consistency, check_inclusion
from geographer.algorithms.merkle_tree import MerkleTree, iter_prefix_roots

SIZES = range(1, 71)
ENTRIES = [f"entry {number}".encode() for number in SIZES]


def split(entries):
    """Divide entries at the largest power of two below their number."""
    size = max(2**power for power in range(8) if 2**power < len(entries))
    return entries[:size], entries[size:]


def define_root(entries):
    """MTH of RFC 9162, section 2.1.1."""
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    left, right = split(entries)
    return hashlib.sha256(b"\1" + define_root(left) + define_root(right)).digest()


def define_path(index, entries):
    """PATH of RFC 9162, section 2.1.3.1."""
    if len(entries) == 1:
        return []
    left, right = split(entries)
    if index < len(left):
        return [*define_path(index, left), define_root(right)]
    return [*define_path(index - len(left), right), define_root(left)]


def define_consistency(first, entries, *, is_known=True):
    """SUBPROOF of RFC 9162, section 2.1.4.1."""
    if first == len(entries):
        return [] if is_known else [define_root(entries)]
    left, right = split(entries)
    if first <= len(left):
        return [*define_consistency(first, left, is_known=is_known), define_root(right)]
    return [*define_consistency(first - len(left), right, is_known=False), define_root(left)]


def is_refused(check, *arguments):
    """Return whether a check of a proof ends with an error or another root."""
    *given, root = arguments
    try:
        return check(*given) != root
    except (SystemExit, ValueError):
        return True


def list_alterations(path):
    """List a path with one hash altered, missing or repeated."""
    for place, digest in enumerate(path):
        yield [*path[:place], bytes([digest[0] ^ 1]) + digest[1:], *path[place + 1 :]]
        yield path[:place] + path[place + 1 :]
        yield [*path[:place], digest, *path[place:]]


@pytest.mark.parametrize("size", SIZES)
def test_proofs_of_all_sizes(size):
    entries = ENTRIES[:size]
    tree, root = MerkleTree(entries), define_root(entries)
    assert tree.compute_root() == root
    for index, entry in enumerate(entries):
        path, leaf = tree.prove_inclusion(index), hashlib.sha256(b"\0" + entry).digest()
        assert path == define_path(index, entries)
        assert check_inclusion(leaf, index, size, path) == root
        others = list_alterations(path) if index in (0, size // 2, size - 1) else []
        assert all(is_refused(check_inclusion, leaf, index, size, other, root) for other in others)
        assert is_refused(check_inclusion, leaf[::-1], index, size, path, root)
        assert size == 1 or is_refused(check_inclusion, leaf, (index + 1) % size, size, path, root)
    for first in range(1, size + 1):
        path, old = tree.prove_consistency(first), define_root(entries[:first])
        assert path == define_consistency(first, entries)
        assert check_consistency(first, size, path, old) == root
        others = list_alterations(path) if first in (1, size // 2, size - 1) else []
        assert all(is_refused(check_consistency, first, size, other, old, root) for other in others)
        assert first == size or is_refused(check_consistency, first, size, path, old[::-1], root)


def test_roots_of_prefixes():
    assert list(iter_prefix_roots(ENTRIES)) == [define_root(ENTRIES[:size]) for size in SIZES]
    assert list(iter_prefix_roots(ENTRIES, {5, 64})) == [define_root(ENTRIES[:size]) for size in (5, 64)]


def test_empty_tree_has_root_of_nothing():
    assert MerkleTree([]).compute_root() == hashlib.sha256(b"").digest()
    for prove in (MerkleTree([b"x"]).prove_inclusion, MerkleTree([b"x"]).prove_consistency):
        with pytest.raises(IndexError):
            prove(2)


def test_entries_are_read_once():
    entries = iter(ENTRIES)
    assert MerkleTree(islice(entries, 3)).size == 3
    assert next(entries) == ENTRIES[3]
