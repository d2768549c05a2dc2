"""Log root: the Merkle tree of RFC 9162 over the digests of a chain's events, which only grows with the log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import duckdb

from geographer.algorithms.merkle_tree import MerkleTree, iter_prefix_roots
from geographer.storage.log.chain import CHAIN_EVENT

_DIGESTS = f"SELECT digest FROM {CHAIN_EVENT} WHERE position <= $position ORDER BY position"  # noqa: S608


def list_chain_digests(connection: duckdb.DuckDBPyConnection, position: int) -> list[str]:
    """Return the digests of the events of the chain in use up to a position, oldest first."""
    rows = connection.execute(_DIGESTS, {"position": position}).fetchall()
    return [digest for (digest,) in rows]


def build_log_tree(digests: Iterable[str]) -> MerkleTree:
    """Return the tree over the digests of events, whose entries are their 64 hexadecimal digits."""
    return MerkleTree(digest.encode() for digest in digests)


def compute_log_root(connection: duckdb.DuckDBPyConnection, position: int) -> str:
    """Return the log root of the chain in use at a position, in hex."""
    return build_log_tree(list_chain_digests(connection, position)).compute_root().hex()


def compute_log_roots(digests: Sequence[str], positions: Collection[int] | None = None) -> dict[int, str]:
    """Return the log root at each position of a chain, or at some, in hex, from the digests of its events."""
    selected = range(1, len(digests) + 1) if positions is None else sorted({*positions})
    roots = iter_prefix_roots((digest.encode() for digest in digests), None if positions is None else {*positions})
    return {position: root.hex() for position, root in zip(selected, roots, strict=False)}
