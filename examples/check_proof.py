"""Check a proof that `geographer prove` wrote, with Python's standard library alone.

python check_proof.py PROOF ROOT              the proof leads to ROOT, the Merkle root or log root that you trust
python check_proof.py PROOF ROOT --file FILE  and FILE is the proven raster or label
python check_proof.py PROOF ROOT --old ROOT   the log of the older tag, whose log root this is, is a part of the newer
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path


def require(holds: bool, reason: str) -> None:
    """End with an error unless a condition holds."""
    if not holds:
        raise SystemExit(f"NOT proven: {reason}")


def sha256(*parts: bytes) -> bytes:
    """Return the hash of some bytes."""
    return hashlib.sha256(b"".join(parts)).digest()


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
    require(0 <= index < size, "the index is wrong")
    return climb(leaf, leaf, index, size - 1, path)[1]


def check_consistency(first: int, size: int, path: list[bytes], old_root: bytes) -> bytes:
    """Return the root of the tree that begins with an older one, if the path is right."""
    require(0 < first <= size and bool(path) == (first < size), "the sizes are wrong")
    start, *path = [old_root, *path] if first & (first - 1) == 0 or first == size else path
    node, last = first - 1, size - 1
    while node % 2:
        node, last = node // 2, last // 2
    old, new = climb(start, start, node, last, path) if first < size else (start, start)
    require(old == old_root, "the older root is another one")
    return new


def main() -> None:
    """Check the proof that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("proof", "root", "--file", "--old"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    proof = json.loads(Path(arguments.proof).read_bytes())
    path, row, subject = [bytes.fromhex(text) for text in proof["path"]], proof.get("row"), proof.get("entry")
    if proof["kind"] == "consistency proof":
        require(bool(arguments.old), "a consistency proof needs --old, the older root")
        root = check_consistency(proof["first_size"], proof["size"], path, bytes.fromhex(arguments.old))
        subject = f"the log of {proof['size']} events begins with the older one of {proof['first_size']} events"
    else:
        if row:
            sys.stdout.writelines(f"{name}: {text}\n" for name, text in row["fields"])
            digest = sha256(*(encode_field(text) for _, text in row["fields"])).hex()
            subject = f"{row['table'].removesuffix('_change')} {digest}"
        root = check_inclusion(sha256(b"\0", subject.encode()), proof["index"], proof["size"], path)
    require(root.hex() == arguments.root, "the root is another one")
    if arguments.file:
        with Path(arguments.file).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        require(bool(row) and digest == dict(row["fields"]).get("sha256"), "the file is another one")
    sys.stdout.write(f"proven: {subject}\n")


if __name__ == "__main__":
    main()
