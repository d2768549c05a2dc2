"""Check a proof that `geographer prove` wrote, with Python's standard library alone.

python check_proof.py PROOF ROOT              the proof leads to ROOT, the Merkle root or log root that you trust
python check_proof.py PROOF ROOT --file FILE  and FILE is the proven raster or label
python check_proof.py PROOF ROOT --old ROOT   the log of the older tag, whose log root this is, is a part of the newer

What is printed is proven. PROOF has more that is not: the tag's name and other digests, signatures, sizes of trees.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

MAX_BYTES = 10_000_000
COLUMNS = {
    "class": "class value",
    "feature": "feature_id id_is_integer class geometry crs properties",
    "raster": "raster_id collection path storage crs width height transform bands dtype nodata acquired "
    "size md5 sha256 pixel_digest outline parent_id col row recipe feature_id properties",
    "label": "label raster_id path size md5 sha256 pixel_digest",
    "split": "split raster_id part",
}


def require(holds: bool, reason: str) -> None:
    """End with an error unless a condition holds."""
    if not holds:
        raise SystemExit(f"NOT proven: {reason}")


def sha256(*parts: bytes) -> bytes:
    """Return the hash of some bytes."""
    return hashlib.sha256(b"".join(parts)).digest()


def decode_hash(text: str) -> bytes:
    """Return the 32 bytes of a hash in hexadecimal digits."""
    require(len(text) == 64, "a hash does not have 64 digits")
    return bytes.fromhex(text)


def encode_field(text: str | None) -> bytes:
    """Return a field of a row as the row's digest covers it."""
    return b"-," if text is None else b"%d:%s," % (len(text.encode()), text.encode())


def climb(first: bytes, second: bytes, node: int, last: int, path: list[bytes]) -> tuple[bytes, bytes]:
    """Return the roots that a path leads to: RFC 9162, sections 2.1.3.2 (equal ones) and 2.1.4.2 (old and new)."""
    for sibling in path:
        require(last > 0, "the path is too long")
        if node % 2 or node == last:
            first, second = sha256(b"\1", sibling, first), sha256(b"\1", sibling, second)
            while node and node % 2 == 0:
                node, last = node // 2, last // 2
        else:
            second = sha256(b"\1", second, sibling)
        node, last = node // 2, last // 2
    require(last == 0, "the path is too short")
    return first, second


def check_inclusion(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root of the tree that has a leaf, if the path is right."""
    require(type(index) is type(size) is int and 0 <= index < size, "the index is wrong")
    return climb(leaf, leaf, index, size - 1, path)[1]


def check_consistency(first: int, size: int, path: list[bytes], old_root: bytes) -> bytes:
    """Return the root of the tree that begins with an older one, if the path is right."""
    require(type(first) is type(size) is int and 0 < first <= size, "the sizes are wrong")
    require(bool(path) == (first < size), "the path is too long or too short")
    start, *path = [old_root, *path] if first & (first - 1) == 0 or first == size else path
    node, last = first - 1, size - 1
    while node % 2:
        node, last = node // 2, last // 2
    old, new = climb(start, start, node, last, path) if first < size else (start, start)
    require(old == old_root, "the older root is another one")
    return new


def make_object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; two programs can read one with a repeated member differently."""
    require(len(dict(members)) == len(members), "a member is repeated")
    return dict(members)


def read_proof(path: str) -> Any:
    """Return a proof; ValueError if the file is not JSON, or too large for a proof."""
    with Path(path).open("rb") as file:
        return json.loads(file.read(MAX_BYTES), object_pairs_hook=make_object)


def check_proof(proof: Any, root: str, old: str | None, file: str | None) -> list[str]:
    """Return what a proof proves, in lines."""
    path, kind = [decode_hash(text) for text in proof["path"]], "consistency proof" if old else "inclusion proof"
    require(proof["kind"] == kind, "a consistency proof needs --old, the older root, and no other proof has it")
    require(proof["root"] == proof["tag"][proof["tree"]] == root, "the root is another one")
    if old:
        require(proof["first_root"] == proof["first_tag"]["log_root"] == old, "the older root is another one")
        found = check_consistency(proof["first_size"], proof["size"], path, decode_hash(old))
        require(found == decode_hash(root), "the root is another one")
        return [f"proven: the log with the root {root} begins with the one with the root {old}"]
    entry, row, values, name = proof["entry"], proof["row"], {}, f"event:{proof['entry']}"
    if row is not None:
        subject = row["table"].removesuffix("_change")
        values = dict(row["fields"])
        require([name for name, _ in row["fields"]] == COLUMNS[subject].split(), "the columns are wrong")
        digest = sha256(*map(encode_field, values.values())).hex()
        require(entry == f"{subject} {digest}", "the row is another one")
        name = f"{subject}:{'/'.join([*values.values()][: 2 if subject in ('label', 'split') else 1])}"
        require(proof["file"] is None or proof["file"].items() <= values.items(), "the file is another one")
    require(proof["object"] == name, "the object is another one")
    found = check_inclusion(sha256(b"\0", entry.encode()), proof["index"], proof["size"], path)
    require(found == decode_hash(root), "the root is another one")
    if file:
        with Path(file).open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        require(digest == values.get("sha256"), "the file is another one")
    shown = {name: text if text.isprintable() else ascii(text) for name, text in values.items() if text is not None}
    return [*(f"{name}: {text}" for name, text in shown.items()), f"proven: {entry}"]


def main() -> None:
    """Check the proof that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("proof")
    parser.add_argument("root")
    options = parser.add_mutually_exclusive_group()
    options.add_argument("--file")
    options.add_argument("--old")
    arguments = parser.parse_args()
    try:
        lines = check_proof(read_proof(arguments.proof), arguments.root.lower(), arguments.old, arguments.file)
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise SystemExit(f"NOT proven: it cannot be read ({type(error).__name__}: {error})") from None
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
