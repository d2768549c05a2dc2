"""Check a proof that `geographer prove` wrote, with Python's standard library alone.

python check_proof.py PROOF ROOT              the proof leads to ROOT, the Merkle root or log root that you trust
python check_proof.py PROOF ROOT --file FILE  and FILE is the proven raster or label
python check_proof.py PROOF ROOT --old ROOT   the log of the older tag, whose log root is given, is a part of it
"""

import argparse
import hashlib
import json


def require(holds: bool, reason: str) -> None:
    if not holds:
        raise SystemExit(f"NOT proven: {reason}")


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def encode_field(text: str | None) -> bytes:
    return b"-," if text is None else b"%d:%s," % (len(text.encode()), text.encode())


def follow_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.3.2."""
    node, last = index, size - 1
    for sibling in path:
        require(last > 0, "the path is too long")
        if node % 2 or node == last:
            leaf = sha256(b"\1", sibling, leaf)
            while node and node % 2 == 0:
                node, last = node // 2, last // 2
        else:
            leaf = sha256(b"\1", leaf, sibling)
        node, last = node // 2, last // 2
    require(last == 0 <= index < size, "the path is too short")
    return leaf


def compute_roots(first: int, second: int, path: list[bytes], old_root: bytes) -> tuple[bytes, bytes]:
    """The roots of the older and the newer log that a consistency proof leads to: RFC 9162, section 2.1.4.2."""
    require(0 < first <= second, "the sizes are wrong")
    path = [old_root, *path] if first & (first - 1) == 0 else path
    node, last, old, new = first - 1, second - 1, path[0], path[0]
    while node % 2:
        node, last = node // 2, last // 2
    for sibling in path[1:]:
        require(last > 0, "the path is too long")
        if node % 2 or node == last:
            old, new = sha256(b"\1", sibling, old), sha256(b"\1", sibling, new)
            while node and node % 2 == 0:
                node, last = node // 2, last // 2
        else:
            new = sha256(b"\1", new, sibling)
        node, last = node // 2, last // 2
    require(last == 0, "the path is too short")
    return old, new


parser = argparse.ArgumentParser()
parser.add_argument("proof")
parser.add_argument("root")
parser.add_argument("--file")
parser.add_argument("--old", default="")
arguments = parser.parse_args()
with open(arguments.proof) as file:
    proof = json.load(file)
path = [bytes.fromhex(text) for text in proof["path"]]
if proof["kind"] == "consistency proof":
    old, new = compute_roots(proof["first_size"], proof["size"], path, bytes.fromhex(arguments.old))
    require(old.hex() == arguments.old, "the older root is another one")
    subject = f"the {proof['size']} events of the newer log begin with the {proof['first_size']} of the older one"
else:
    subject = proof["entry"]
    if row := proof["row"]:
        digest = sha256(*(encode_field(text) for _, text in row["fields"])).hex()
        subject = f"{row['table'].removesuffix('_change')} {digest}"
        print(*(f"{name}: {text}" for name, text in row["fields"]), sep="\n")
    new = follow_path(sha256(b"\0", subject.encode()), proof["index"], proof["size"], path)
require(new.hex() == arguments.root, "the root is another one")
if arguments.file:
    with open(arguments.file, "rb") as file:
        (
            require(hashlib.file_digest(file, "sha256")).hexdigest() == dict(row["fields"])["sha256"],
            ("the file is another one"),
        )
print(f"proven: {subject}")
