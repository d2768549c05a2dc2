"""Make proofs of RFC 9162 against the roots that a tag records: documents that `examples/check_proof.py` checks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.algorithms.merkle_tree import MerkleTree
from geographer.base.atomic_files import write_atomic
from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from geographer.outputs.proof.objects import RecordedRow, find_recorded_row
from geographer.storage.log.log_root import build_log_tree, list_chain_digests
from geographer.storage.log.read import resolve_revision
from geographer.storage.queries.revision import Revision, open_revision
from geographer.storage.queries.tag_signatures import read_tag_signatures
from geographer.storage.unit_of_work import UnitOfWork

PROOF_FORMAT: Final = 1
_MAX_SIGNATURES: Final = 3
_TAG_DIGESTS: Final = ("tag", "position", "digest", "content_digest", "merkle_root", "version", "log_root")
_LINES: Final = "SELECT line FROM content_line ORDER BY line"
_EVENT: Final = re.compile(r"event:[0-9a-f]{6,64}|@[0-9]+")
_FILE_FIELDS: Final = ("path", "size", "sha256")


class _Tag(NamedTuple):
    """A tag with the position of its revision, its digests, and its signatures as JSON."""

    position: int
    digests: dict[str, Any]
    signatures: list[dict[str, Any]]


def prove_object(work: UnitOfWork, name: str, at: str | int | None = None) -> dict[str, Any]:
    """Return a proof that an object or event is in a tagged revision, or that the log of a tag is part of a later one.

    Args:
        work: The dataset.
        name: An object; `event:DIGEST` or `@17`; or `tag:NAME`, a tag whose log the tag `at` continues.
        at: The tag, or a revision that has one. None: the last tag.

    Raises:
        NotFoundError: there is no such object, event or tag, or the revision has no tag.
        UsageError: the name has several meanings.
        ConflictError: a tag is older than its Merkle root or log root, or its log is not part of that of the other.
        CorruptError: the log differs from what the tag records.
    """
    with work.open_revision() as head:
        tag = _find_tag(head, at)
        if name.startswith("tag:"):
            return _prove_consistency(head, _find_tag(head, name.removeprefix("tag:")), tag)
        if _EVENT.fullmatch(name):
            return _prove_event(head, name.removeprefix("event:"), tag)
    with open_revision(work.database, tag.position) as revision:
        return _prove_row(revision, find_recorded_row(revision, name), tag)


def write_proof(proof: dict[str, Any], path: Path) -> None:
    """Write a proof as canonical JSON, which replaces a file of that name when it is complete."""
    write_atomic(path, f"{canonical_json(proof)}\n".encode())


def _find_tag(head: Revision, name: str | int | None) -> _Tag:
    """Return a tag by its name or another name of its revision; None: the tag of the last revision."""
    columns = ", ".join(_TAG_DIGESTS)
    rows = head.fetch_rows(f"SELECT {columns} FROM tags WHERE position IS NOT NULL ORDER BY position, recorded_at")  # noqa: S608
    tags = [dict(zip(_TAG_DIGESTS, row, strict=True)) for row in rows]
    found = tags if name is None else [tag for tag in tags if tag["tag"] == name]
    if not found:
        position = resolve_revision(head.connection, name)
        found = [tag for tag in tags if tag["position"] == position]
    if not found:
        where = "the dataset has no tag" if name is None else f"no tag names the revision '{name}'"
        raise NotFoundError(f"{where}, and a proof needs the roots that a tag records. Set one: geographer tag NAME.")
    tag = found[-1]
    recorded = read_tag_signatures(head.connection, head.position)
    same = [item.signed for item in recorded if item.signed.statement.tag == tag["tag"]]
    signed = {item.signature: item._replace(time_stamp=None) for item in same if item.statement.digest == tag["digest"]}
    return _Tag(tag["position"], tag, [item.to_json() for item in signed.values()][:_MAX_SIGNATURES])


def _prove_row(revision: Revision, row: RecordedRow, tag: _Tag) -> dict[str, Any]:
    root, entry = _require_root(tag, "merkle_root", "Merkle root"), row.content_line
    tree = MerkleTree(_iter_lines(revision))
    if tree.compute_root().hex() != root:
        raise CorruptError(f"the content of tag '{tag.digests['tag']}' is not what it records. Run geographer verify.")
    values = dict(row.fields)
    file = {name: values[name] for name in _FILE_FIELDS} if values.get("sha256") else None
    index = revision.fetch_value("SELECT count(*) FROM content_line WHERE line < $line", {"line": entry})
    return {
        **_begin_proof("inclusion proof", tag),
        **{"object": row.name, "row": {"table": row.table, "fields": row.fields}, "file": file},
        **{"tree": "merkle_root", "entry": entry, "index": index, "size": tree.size},
        **{"path": _list_hashes(tree.prove_inclusion(index)), "root": root},
    }


def _prove_event(head: Revision, name: str, tag: _Tag) -> dict[str, Any]:
    root = _require_root(tag, "log_root", "log root")
    digests = list_chain_digests(head.connection, tag.position)
    tree = build_log_tree(digests)
    _require_same_log(tree, root, tag)
    position = resolve_revision(head.connection, name)
    if position > tag.position:
        raise NotFoundError(
            f"the event @{position} is after tag '{tag.digests['tag']}' (@{tag.position}). Use a later one."
        )
    return {
        **_begin_proof("inclusion proof", tag),
        **{"object": f"event:{digests[position - 1]}", "row": None, "file": None},
        **{"tree": "log_root", "entry": digests[position - 1], "index": position - 1, "size": tree.size},
        **{"path": _list_hashes(tree.prove_inclusion(position - 1)), "root": root},
    }


def _prove_consistency(head: Revision, first: _Tag, tag: _Tag) -> dict[str, Any]:
    first_root, root = (_require_root(side, "log_root", "log root") for side in (first, tag))
    if first.position > tag.position:
        raise UsageError(
            f"tag '{first.digests['tag']}' (@{first.position}) is after '{tag.digests['tag']}' (@{tag.position}). "
            "Exchange the tags."
        )
    digests = list_chain_digests(head.connection, tag.position)
    tree = build_log_tree(digests)
    _require_same_log(tree, root, tag)
    _require_same_log(build_log_tree(digests[: first.position]), first_root, first)
    return {
        **_begin_proof("consistency proof", tag),
        **{"object": f"tag:{first.digests['tag']}", "first_tag": first.digests, "first_signatures": first.signatures},
        **{"tree": "log_root", "first_size": first.position, "size": tree.size},
        **{"path": _list_hashes(tree.prove_consistency(first.position)), "first_root": first_root, "root": root},
    }


def _begin_proof(kind: str, tag: _Tag) -> dict[str, Any]:
    return {"format": PROOF_FORMAT, "kind": kind, "tag": tag.digests, "signatures": tag.signatures}


def _require_root(tag: _Tag, column: str, noun: str) -> str:
    root = tag.digests[column]
    if root is None:
        name = tag.digests["tag"]
        raise ConflictError(
            f"tag '{name}' has no {noun}: an older version of geographer set it, or it came by a merge. Set a new tag "
            f"on the revision (geographer tag NAME {name}), and prove against that."
        )
    return str(root)


def _require_same_log(tree: MerkleTree, root: str, tag: _Tag) -> None:
    if tree.compute_root().hex() != root:
        raise CorruptError(f"the log up to tag '{tag.digests['tag']}' is not what it records. Run geographer verify.")


def _iter_lines(revision: Revision) -> Iterator[bytes]:
    """Yield the lines of the content digest in order."""
    for chunk in revision.fetch_arrow(_LINES)["line"].chunks:
        for line in chunk.to_pylist():
            yield line.encode()


def _list_hashes(hashes: list[bytes]) -> list[str]:
    return [digest.hex() for digest in hashes]
