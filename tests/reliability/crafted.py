"""Datasets from others: logs forged with recomputed digests. `verify` reports them, and no command writes outside."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.reliability.example import ONE
from tests.reliability.flips import VERIFY
from tests.reliability.forging import edit_database, edit_table, recompute_log, remove_history
from tests.reliability.oracles import LOG, MARKER, STATE, hash_tree, read_history
from tests.reliability.processes import Command, run
from tests.reliability.stage import Fault, Stage, Try, find_failures

READS: Final[tuple[Command, ...]] = (
    VERIFY,
    ("status",),
    ("features", "--json"),
    ("rasters", "--json"),
    ("labels", "--at", "v1"),
)
WRITES: Final[tuple[Command, ...]] = (
    ("checkout", "HEAD", "--to", "../../target"),
    ("checkout", "v1"),
    ("checkout", "HEAD"),
    ("label", "instances", "forged", "--collection", "chips", *ONE),
    ("cut", "grid", "forged-chips", "--size", "32", *ONE),
    ("remove", "rasters", "b"),
    ("remove", "recipe", "mask"),
    ("classes", "remap", "pit=", "--prune-rasters"),
    ("tag", "forged"),
    ("verify", "--repair"),
    ("remove", "unreadable"),
    ("checkout", "HEAD"),
)
UPDATE: Final[Command] = ("update", *ONE)
"""Not for the dataset with a selector in its folder: `update` runs that, as `make` runs what a makefile says."""
IMPORT: Final[Command] = ("import", "dataset", "../../around/dataset", "--prefix", "o-")

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "raster.path": (
        "'../../outside/new.tif'", "'../precious.tif'", "'{outside}/new.tif'", "'rasters/../../precious.tif'", "''", "NULL", "'.'", "'rasters'",
        r"'rasters\\source\\b.tif'", "'C:/Windows/b.tif'", "'rasters/source/' || chr(0) || '.tif'", "'rasters/source/'", "'rasters/.git/x.tif'",
        "'.git/hooks/pre-commit'", "'.dvc/config'", "'.geographer/log.duckdb'", "'rasters/source.dvc'", "'rasters/../b.tif'", "'~/b.tif'",
        "'labels/mask/chips/b.tif'", "'rasters/source/' || repeat('x', 300) || '.tif'", "'rasters/source/a' || chr(10) || 'b.tif'",
    ),
    "raster.md5": ("NULL", "''", "'xyz'", "'../../../../precious'", "'/etc/passwd'", "upper(md5)", "repeat('0', 32)"),
    "raster.sha256": ("NULL", "''", "'xyz'"),
    "raster.size": ("NULL", "-1", "9223372036854775807"),
    "raster.crs": ("NULL", "''", "'EPSG:999999'", "'LOCAL_CS[\"x\",UNIT[\"metre\",1]]'", "'+proj=geos +h=0'"),
    "raster.transform": ("NULL", "'[]'", "'x'", "'[0,0,0,0,0,0]'", "'[1e400,0,0,0,1,0]'"),
    "raster.width": ("NULL", "-1", "0", "4611686018427387904"),
    "raster.outline": ("NULL", r"'\x01\x02'::BLOB", "''::BLOB", "outline[:20]"),
    "raster.properties": ("'x'", "'[1]'", "repeat('[', 100000)"),
    "raster.collection": ("NULL", "'.dvc'", "'..'", "'.git'", "'a/b'"),
    "raster.storage": ("NULL", "'other'"),
    "raster.parent_id": ("'nosuch'", "raster_id"),
    "raster.raster_id": ("NULL", "'a'", "'../a'"),
    "raster.change": ("'vanished'",),
    "feature.geometry": ("NULL", r"'\x01\x02'::BLOB", r"'\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf8\x7f\x00\x00\x00\x00\x00\x00\xf8\x7f'::BLOB"),
    "feature.crs": ("NULL", "'EPSG:999999'"),
    "feature.properties": ("'x'", "'[1]'", "NULL"),
    "feature.class": ("NULL", "'nosuch'"),
    "feature.feature_id": ("NULL", "'p1'"),
    "label.path": ("'../../outside/label.tif'", "'rasters/source/b.tif'"),
    "label.label": ("'../x'",),
    "label.md5": ("'../../../../precious'",),
    "label_object.box": ("'[1'",),
    "class.value": ("-1",),
    "event.kind": ("'something_happened'", "NULL", "'rasters_added'"),
    "event.version": ("99", "NULL"),
    "event.payload": ("'{}'", "'[]'", "'null'", "repeat('[', 100000)"),
    "event.recorded_at": ("'never'", "NULL"),
    "event.generation": ("-1",),
    "event.format": ("3",),
    "split.part": ("'../x'",),
    "class.class": ("'<script>alert(1)</script>'",),
    "event.message": ("chr(27) || '[31m<b>' || chr(0)",),
}  # fmt: skip
"""Values, in SQL, of columns of the log. `verify` must report all but those of `HARMLESS`.

A parent that the dataset lacks is harmless: chips stay when their parent is removed.
"""
HARMLESS: Final = ("split.part", "class.class", "event.message", "raster.parent_id 'nosuch'")
CHANGED_ROWS: Final = {
    "raster": "raster_id = 'b' AND change <> 'removed'",
    "feature": "feature_id = 'q1'",
    "class": "class = 'water'",
    "event": "kind = 'features_removed'",
}
_SELECTOR: Final = """replace(payload, '"where":null', '"where":{"selector":"evil:select","version":""}')"""
_DVC_FILE: Final = (
    "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e.dir\n  size: 0\n  nfiles: 0\n  hash: md5\n  path: /etc\n"
)


class Case(NamedTuple):
    """A crafted dataset: how it is made, and whether `verify` must report it, or may be content."""

    name: str
    craft: Callable[[Path], None]
    is_reported: bool = True

    def __str__(self) -> str:
        return self.name[:90]


def list_cases(_stage: Stage) -> list[Case]:
    """List the crafted datasets."""
    columns = [(*name.split("."), value) for name, values in COLUMNS.items() for value in values]
    marker = '{"position": 999999, "chosen": true}'
    return [
        *(
            Case(" ".join(row), _change_column(*row), not " ".join((".".join(row[:2]), row[2])).startswith(HARMLESS))
            for row in columns
        ),
        *(Case(f"{name} is a link", _link_folder(name)) for name in ("rasters/source", "rasters", "labels/mask")),
        Case("a selector in the folder", _write_selector, False),
        Case(".dvc file of /etc", lambda root: _write(root / "rasters/source.dvc", _DVC_FILE)),
        Case("marker beyond the head", lambda root: _write(root / MARKER, marker), False),
        Case("marker is a list", lambda root: _write(root / MARKER, "[1]"), False),
    ]


def attack_case(stage: Stage, one: Try, case: Case) -> Iterator[Fault]:
    """Run commands on a crafted dataset, and import it into another one."""
    root, mine = one.copy_dataset(stage.example.root), one.folder / "mine" / "dataset"
    shutil.copytree(stage.example.before["rasters"], mine)
    case.craft(root)
    if one.random.random() < 0.5:
        for name in (STATE, MARKER):
            (root / name).unlink(missing_ok=True)
    expected, before = hash_tree(one.folder, root, mine), read_history(mine).digests
    # The short form writes checkouts only.
    writes = (
        WRITES[:3] if stage.max_tries is not None else WRITES if case.craft is _write_selector else (UPDATE, *WRITES)
    )
    verify, *others = run(root, *READS, *writes)
    imported, *reads = run(mine, IMPORT, *READS[:-1])
    yield from find_failures([verify, *others, imported, *reads])
    if verify.code == 0 and case.is_reported:
        yield Fault("silent", f"not reported: {verify}")
    if imported.code and read_history(mine).digests != before:
        yield Fault("silent", f"refused, but recorded: {imported}")
    if failed := [str(read) for read in reads if read.code]:
        yield Fault("silent", f"{imported}, then {failed}")
    found = hash_tree(one.folder, root, mine, one.folder / "target")
    if changed := sorted({name for name, _ in set(found.items()) ^ set(expected.items())}):
        yield Fault("outside", f"changed outside: {changed[:5]}")


def _change_column(table: str, column: str, value: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        name = table if table == "event" else f"{table}_change"
        text = value.replace("{outside}", str(root.parent.parent / "outside"))
        with edit_database(root / LOG) as connection:
            edit_table(
                connection, name, f'UPDATE {name} SET "{column}" = {text} WHERE {CHANGED_ROWS.get(table, "true")}'
            )
            recompute_log(connection)
        remove_history(root)

    return change


def _link_folder(name: str) -> Callable[[Path], None]:
    def link(root: Path) -> None:
        shutil.rmtree(root / name)
        (root / name).symlink_to(root.parent / "rasters", target_is_directory=True)

    return link


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _write_selector(root: Path) -> None:
    """Let a recipe name a selector whose module, in the dataset's folder, writes a file outside when it is imported."""
    (root / "evil.py").write_text("from pathlib import Path\nPath('../precious.tif').write_text('executed')\n")
    with edit_database(root / LOG) as connection:
        connection.execute(f"UPDATE event SET payload = {_SELECTOR} WHERE kind = 'chips_cut'")
        recompute_log(connection)
    remove_history(root)
