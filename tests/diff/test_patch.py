"""Patches: they read back, invert, join, and refuse what is not a patch."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from geographer import Dataset
from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, GeographerError, UsageError
from geographer.cli import load_command
from geographer.diff.changes import Sides
from geographer.diff.patch import (
    Patch,
    build_patch,
    concat_patches,
    encode_patch,
    invert_patch,
    parse_patch,
    read_patch,
)
from tests import REPOSITORY
from tests.sample_history import HEAD, SampleHistory

POSITIONS = (1, 5, 8, 14, 18, HEAD)
"""Revisions of the sample history between which every table and recipe changes."""


@pytest.fixture(scope="module")
def patches(sample_history: SampleHistory) -> dict[tuple[int, int], Patch]:
    """The patches between neighbours of `POSITIONS`, and from the first to the last."""
    pairs = [*pairwise(POSITIONS), (POSITIONS[0], POSITIONS[2]), (POSITIONS[0], HEAD), (HEAD, 8), (1, 1)]
    with Dataset.open(sample_history.root)._unit_of_work.open_revision() as revision:
        return {pair: build_patch(revision, Sides(*pair)) for pair in pairs}


def test_patch_reads_back_and_matches_schema(patches: dict[tuple[int, int], Patch]) -> None:
    schema = json.loads((REPOSITORY / "schemas" / "patch.v1.json").read_text())
    validator = Draft202012Validator(schema)
    tables = set()
    for patch in patches.values():
        content = encode_patch(patch)
        assert parse_patch(content, "x") == patch
        lines = content.decode().splitlines()
        assert [line for line in lines if not validator.is_valid(json.loads(line))] == []
        assert lines == [canonical_json(json.loads(line)) for line in lines]
        tables |= {change.table for change in patch.changes}
    assert tables == {name for name in schema["$defs"] if name.endswith("_change")} | {
        *("recipe", "recipe_input", "remembered_removal")
    }


def test_concat_of_steps_is_the_whole_patch(patches: dict[tuple[int, int], Patch]) -> None:
    steps = [patches[pair] for pair in pairwise(POSITIONS)]
    left = right = None
    for step in steps:
        left = step if left is None else concat_patches(left, step)
    for step in reversed(steps):
        right = step if right is None else concat_patches(step, right)
    assert left is not None
    assert right is not None
    assert encode_patch(left) == encode_patch(right) == encode_patch(patches[1, HEAD])


def test_inverse_undoes(patches: dict[tuple[int, int], Patch], sample_history: SampleHistory) -> None:
    with Dataset.open(sample_history.root)._unit_of_work.open_revision() as revision:
        assert encode_patch(build_patch(revision, Sides(8, HEAD))) == encode_patch(invert_patch(patches[HEAD, 8]))
        empty = build_patch(revision, Sides(8, 8))
    for patch in patches.values():
        assert invert_patch(invert_patch(patch)) == patch
        nothing = concat_patches(patch, invert_patch(patch))
        assert nothing.changes == ()
        assert nothing.header.files == ()
    assert concat_patches(invert_patch(patches[HEAD, 8]), patches[HEAD, 8]) == empty


def test_concat_refuses_other_start(patches: dict[tuple[int, int], Patch]) -> None:
    with pytest.raises(ConflictError, match="the new value of class 'pond' in the first is not its old value"):
        concat_patches(patches[1, 5], patches[1, 8])
    with pytest.raises(ConflictError, match="which has other content"):
        concat_patches(patches[18, HEAD], patches[5, 8])
    other = patches[5, 8]._replace(header=msgspec.structs.replace(patches[5, 8].header, dataset="0" * 64))
    with pytest.raises(ConflictError, match="different datasets"):
        concat_patches(patches[1, 5], other)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"version":1', '"version":2', "a patch of version 2"),
        ('"format":"geographer.patch"', '"format":"geographer.patches"', "line 1: "),
        ('"class":"pond","crs"', '"class":"pond ","crs"', None),
        ('"class":"pond","crs"', '"class":7,"crs"', "new.class: 7 is not a text"),
        ('"class":"pond","crs"', '"class":null,"crs"', "new.class: it is null"),
        ('"id_is_integer":false', '"id_is_integer":0', "new.id_is_integer: 0 is not true or false"),
        ('"geometry":"', '"geometry":"?', "it is not WKB in Base64"),
        ('"key":{"feature_id":"p1"}', '"key":{"feature_id":"zz"}', "not in order of table and key"),
        ('"key":{"feature_id":"p1"}', '"key":{"id":"p1"}', "key: its members are not feature_id"),
        ('"key":{"feature_id":"p1"}', '"key":{"feature_id": "p1"}', "it is not canonical JSON"),
        (
            '"path":"rasters/source/a.tif"',
            '"path":"rasters/source/../../a.tif"',
            "new.path: a part of the path is empty",
        ),
        ('"path":"rasters/source/a.tif"', '"path":"/etc/passwd"', "new.path: the path is absolute"),
        ('"md5":"', '"md5":"g', "it is not a checksum"),
        ('"storage":"dvc"', '"storage":"cloud"', "new.storage: it is not dvc"),
        ('"table":"feature_change"', '"table":"edge_change"', "table: unknown 'edge_change'"),
        ('"old":null,"table":"feature_change"', '"table":"feature_change"', "its members are not table, key"),
        (
            '"new_order":[2,0],"old":null,"table":"feature_change"',
            '"old":null,"table":"feature_change"',
            "an order is missing",
        ),
        ('\\"depth\\":1.5', '\\"depth\\":\\"https://a:b@c.org/x\\"', "it holds a credential"),
        ('"class":"pond"', '"class":"\\ud800"', "line "),
        ('"width":64', '"width":9999999999999964', "is not an integer below 2^53"),
        ('\\"depth\\":1.5', '\\"depth\\":NaN', "new.properties: it is not a JSON object (NaN is not a number"),
        (
            '\\"depth\\":1.5',
            '\\"depth\\":1.5,\\"depth\\":2',
            "new.properties: it is not a JSON object (a name occurs twice",
        ),
        ('\\"depth\\":1.5', '\\"depht\\":1.5', "new.properties.depht: the header does not declare this column"),
        ('"new_order":[2,0]', '"new_order":[2147483648,0]', "new_order: it is not a pair of whole numbers"),
        ('"new_order":[2,0]', '"new_order":[2,4294967296]', "new_order: it is not a pair of whole numbers"),
    ],
)
def test_reader_refuses_altered_patches(
    patches: dict[tuple[int, int], Patch], old: str, new: str, expected: str | None
) -> None:
    """Lines are checked, also where the file is consistent otherwise; only another honest value is taken."""
    content = encode_patch(patches[1, 5]).decode()
    head, _, rest = content.partition("\n")
    assert old in content
    altered = content.replace(old, new, 1) if old in head and "md5" not in old and "size" not in old else None
    altered = altered or f"{head}\n{rest.replace(old, new, 1)}"
    if expected is None:
        assert parse_patch(altered.encode(), "x").header == patches[1, 5].header
        return
    with pytest.raises(GeographerError) as caught:
        parse_patch(altered.encode(), "x")
    assert expected in str(caught.value)


@pytest.mark.parametrize("depth", [90, 900])
@pytest.mark.parametrize("member", ["form", "parameters"])
def test_reader_refuses_deep_values(patches: dict[tuple[int, int], Patch], depth: int, member: str) -> None:
    head = encode_patch(patches[1, 1]).decode()
    values = {"form": "null", "kind": '"cut grid"', "parameters": "{}", member: f'{{"a":{"[" * depth}{"]" * depth}}}'}
    new = ",".join(f'"{name}":{value}' for name, value in values.items())
    line = f'{{"key":{{"name":"x"}},"new":{{{new}}},"new_order":[1,0],"old":null,"table":"recipe"}}\n'
    with pytest.raises(UsageError, match="line 2: new: its values are nested deeper than 64 levels"):
        parse_patch((head + line).encode(), "x")


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\n", b"NaN\n", b"[" * 100_000 + b"\n", b'{"format":1}', b"7\n" * 3],
)
def test_reader_refuses_other_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.patch"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="line 1: "):
        read_patch(path)


def test_reader_survives_random_damage(patches: dict[tuple[int, int], Patch]) -> None:
    """No traceback for a patch with a byte changed, a line lost or a line twice."""
    content, rng, refused = encode_patch(patches[HEAD, 8]), random.Random(5), 0
    for _ in range(150):
        damaged = bytearray(content)
        if rng.random() < 0.7:
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        else:
            lines = content.splitlines(keepends=True)
            index = rng.randrange(len(lines))
            lines[index : index + 1] = [lines[index]] * rng.choice([0, 2])
            damaged = bytearray(b"".join(lines))
        try:
            parse_patch(bytes(damaged), "x")
        except GeographerError:
            refused += 1
    assert refused > 50


def test_patch_commands_work_outside_a_dataset(
    patches: dict[tuple[int, int], Patch],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, pair in (("a", (1, 5)), ("b", (5, 8))):
        Path(f"{name}.patch").write_bytes(encode_patch(patches[pair]))
    command = load_command("patch")
    command.main(["concat", "a.patch", "b.patch", "-o", "c.patch"], standalone_mode=False)
    command.main(["invert", "c.patch"], standalone_mode=False)
    assert Path("c.patch").read_bytes() == encode_patch(patches[1, 8])
    assert capsysbinary.readouterr().out == encode_patch(invert_patch(patches[1, 8]))
