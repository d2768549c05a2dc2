"""Malformed files, texts and archives, by Hypothesis and atheris: refused as documented, or recorded and read back."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import shapely
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from geographer.archives.base import BytesCallback, Product, SearchQuery, Source
from tests.reliability.example import ONE, Example
from tests.reliability.oracles import hash_tree, read_history
from tests.reliability.processes import Command, Finished, run
from tests.reliability.stage import Fault, Kind, Stage, Try, TryFaults, find_failures
from tests.sample_history import square_geometry
from tests.stac_servers import make_stac_item

TRIES: Final = 500
MIN_FUZZED_TRIES: Final = 100
"""Of fewer tries, atheris makes none: it takes seconds to start. Otherwise it makes half of them."""
_ADD: Final = ("add", "features", "{folder}/{file}", "--class", "class")
_ADD_SHAPES: Final = ("add", "features", "{folder}/vector.shp", "--as-class", "pond", "--on-error", "skip")
_SOURCE: Final = ("--source", "tests.reliability.inputs:FileSource", "--to-collection", "shelf", *ONE)
_DOWNLOAD: Final = ("download", "shelf", *_SOURCE, "--source-option", "file={folder}/{file}")
_ADD_RASTER: Final = ("add", "rasters", "{folder}/{file}")
_VECTOR: Final = (_ADD, (*_ADD, "--on-error", "skip"), (*_ADD, "--replace", "--where", "name IS NOT NULL"))
FILES: Final[dict[str, tuple[Command, ...]]] = {
    "vector.geojson": (*_VECTOR, ("cut", "boxes", "more", "{folder}/{file}", *ONE)),
    **{f"vector.{kind}": _VECTOR for kind in ("gpkg", "fgb", "kml", "csv", "parquet")},
    **{f"vector.{part}": (_ADD_SHAPES,) for part in ("shp", "dbf", "shx", "prj", "cpg")},
    "raster.tif": (_ADD_RASTER, (*_ADD_RASTER, "--mode", "reference"), _DOWNLOAD),
    "raster.vrt": (_ADD_RASTER, (*_ADD_RASTER, "--mode", "reference")),
    "items.json": (("add", "catalogue", "{folder}/{file}"),),
    "catalogue.geojson": (("add", "catalogue", "{folder}/{file}"),),
    **{f"product.{kind}": (_DOWNLOAD,) for kind in ("zip", "tar", "tar.gz", "SAFE.zip")},
}
"""The commands that read each file."""
TEXTS: Final[tuple[Command, ...]] = (
    ("features", "--where", "{text}"),
    (*_ADD, "--where", "{text}"),
    ("cut", "grid", "more", "--size", "32", "--rasters-where", "{text}", *ONE),
    ("sql", "{text}"),
    ("sql", "SELECT {text} FROM features"),
    ("features", "--at", "{text}"),
    ("diff", "{text}"),
    ("tag", "named", "{text}"),
    ("tag", "{text}"),
    ("add", "classes", "{text}"),
    ("add", "rasters", "{folder}/raster.tif", "--collection", "{text}"),
    ("cut", "grid", "{text}", "--size", "32", *ONE),
    ("split", "{text}", "--collection", "chips", "--parts", "{text}"),
    ("add", "classes", "lagoon", "-m", "{text}", "--author", "{text}"),
    ("download", "shelf", "--start", "{text}", *_SOURCE),
)
"""The commands that take a text."""
ODD_VALUES: Final[tuple[Any, ...]] = (
    None, True, "", "\0", "é" * 300, "\ud800", -1, 0, 2**63, 2**64, 1e400, float("nan"), [], {}, [[]], [None], {"": {}}, [1e308, -1e308], "{}", "a\nb",
    "../../precious", "/etc/passwd", "CON", "a/b", ".dvc", "x.dvc", "EPSG:0", "0001-01-01", "9999-12-31T23:59:60Z", [[0, 0], [1, 1]], "\u202e", [181, 91],
)  # fmt: skip
ODD_TEXTS: Final = (
    "", " ", "HEAD~1" + "~1" * 400, "@99999999999999999999", "@-1", "@", "~", "HEAD~-1", "HEAD~" + "9" * 30, "2026-13-45", "9999-12-31", "0000-00-00",
    "2026-01-01T25:00", "v1~1", "a" * 300, "../up", "/abs", ".dvc", "x.dvc", ".git", "a\\b", "a:b", "\x1b[31m", "\udcff", "e\u0301", "--", "1; DROP TABLE feature",
    "read_text('../precious.tif')", "(SELECT content FROM read_text('../precious.tif'))", "1) UNION SELECT content FROM read_text('../precious.tif') --",
    "COPY (SELECT 1) TO '../precious.tif'", "getenv('HOME')", "enable_logging('x')", "ATTACH '../x.duckdb'", "SELECT * FROM '../precious.tif'",
    "SELECT * FROM glob('../*')", "SET threads = 1", "PRAGMA database_list", "class IN (", "'", '"', "/*", "$1", "?", "1/0", "geom", "ST_Read('../x')",
    "repeat('x', 1000)", "error('x')", "feature_id::INT", "WITH RECURSIVE t AS (SELECT 1) SELECT * FROM t", "SELECT current_setting('home_directory')",
    "CALL pragma_version()", "EXPLAIN SELECT 1", "SELECT list(x) FROM range(10) t(x)", "@json:loads", "@nosuch:thing", "train=0.5,test=0.5", "train=nan,test=1",
)  # fmt: skip
TOKENS: Final = "SELECT FROM features class = 'pond' ( ) AND NULL * :: HEAD v1 @ ~ 2 - \\ % ,"
ODD_BYTES: Final = (b"", b"\0", b"\xff\xff\xff\xff", b"\x7f", b"../../precious", b"\xc3\x28")
MEMBERS: Final = (
    "scene.tif",
    "../evil.tif",
    "{folder}/evil.tif",
    "a/../../evil.tif",
    "A.TIF",
    "a.tif",
    "a.tif/b.tif",
    "x" * 300,
)


class Input(NamedTuple):
    """A malformed input: the name of the file that it replaces, or none; its content; the command that reads it."""

    file: str
    content: bytes
    command: Command

    def __str__(self) -> str:
        return self.file or f"{self.content[:80]!r}"

    def prepare_command(self, folder: Path) -> Command:
        """Write the file into a folder with the seeds, and return the command, whose arguments cannot hold a NUL."""
        text = self.content.decode("utf-8", "surrogateescape").replace("\0", "")
        if self.file:
            (folder / self.file).write_bytes(self.content)
        values = {"folder": str(folder), "file": self.file or "vector.geojson", "text": text}
        return [argument.format_map(values) if "{" in argument else argument for argument in self.command]


class FileSource(Source):
    """Delivers one product, over all of the example's features, whose only file is the option `file`."""

    def __init__(self, *, provider: str | None, collection: str | None, file: str, **_options: Any) -> None:
        super().__init__(provider=provider or "files", collection=collection, file=file)

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`."""
        footprint = shapely.to_wkb(shapely.box(14.5, 46.5, 15.5, 47.5))
        yield [Product("files", "scenes", "product", footprint, acquired="2026-06-01T00:00:00")]

    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        """See `Source.fetch`."""
        shutil.copy(self.options["file"], folder)


def run_attack(stage: Stage) -> Iterator[TryFaults]:
    """Give malformed inputs to commands."""
    seeds = stage.make_try("seeds").folder
    (made,) = run(seeds, ("call", "tests.reliability.inputs:write_seeds", str(stage.example.inputs)))
    if made.code:
        raise RuntimeError(f"cannot make the seeds: {made}")
    count = stage.count_tries(TRIES)
    is_fuzzed = count >= MIN_FUZZED_TRIES and stage.only is None and find_spec("atheris") is not None
    drawn = draw_inputs(seeds, stage.seed, count // 2 if is_fuzzed else count)
    yield from replace(stage, scale=1, max_tries=None).run_cases(
        sys.modules[__name__], [(seeds, entry) for entry in drawn]
    )
    if is_fuzzed:
        yield from _run_atheris(stage, seeds, count - len(drawn))


def attack_case(stage: Stage, one: Try, case: tuple[Path, Input]) -> Iterator[Fault]:
    """Give an input to its command in a process."""
    yield from check_input(stage.example, one, *case, run)


def check_input(
    example: Example, one: Try, seeds: Path, entry: Input, run_commands: Callable[..., list[Finished]]
) -> Iterator[Fault]:
    """Yield faults unless the input is refused and the log has not moved, or it is recorded and can be read back."""
    root, folder = one.copy_dataset(example.root), shutil.copytree(seeds, one.folder / "input")
    command = entry.prepare_command(folder)
    inputs, before = hash_tree(folder), read_history(root).digests
    first, *reads = run_commands(root, command, ("features", "--json"), ("rasters", "--json"), ("verify",))
    history = read_history(root)
    yield from find_failures([first, *reads])
    if first.code and history.digests != before and command[0] != "download":
        yield Fault("silent", f"refused, but recorded: {first}")
    if failed := [str(done) for done in reads if done.code] + history.mismatches:
        yield Fault("silent", f"{first}, then {failed[:3]}")
    if "precious" in first.out:
        yield Fault("outside", f"a file outside was read: {first}")
    if hash_tree(folder) != inputs:
        yield Fault("outside", f"the input files changed: {sorted(set(hash_tree(folder)) ^ set(inputs))[:3]}")
    yield from one.find_changes_outside(root)


# --- Seeds and mutations ------------------------------------------------------------------------------------------


def write_seeds(inputs: str) -> None:
    """Write a valid file of each name in `FILES` into the current folder."""
    import geopandas
    import rasterio.shutil

    frame = (
        geopandas.read_file(Path(inputs) / "later.geojson")
        .set_crs("EPSG:32633", allow_override=True)
        .to_crs("EPSG:4326")
    )
    frame = frame[["id", "class", "name", "geometry"]].assign(id=[f"new{index}" for index in range(len(frame))])
    for name in ("vector.geojson", "vector.gpkg", "vector.fgb", "catalogue.geojson"):
        frame.to_file(name)
    frame.to_file("vector.kml", driver="KML")
    frame[frame.geom_type == "Polygon"].to_file("vector.shp", encoding="UTF-8")
    frame.to_parquet("vector.parquet")
    frame.to_csv("vector.csv", index=False)
    scene = Path(shutil.copy(Path(inputs) / "b.tif", "raster.tif")).read_bytes()
    rasterio.shutil.copy("raster.tif", "raster.vrt", driver="VRT")
    item = make_stac_item(
        "item1", (14.9, 46.8, 15.1, 47.0), {"data": {"href": "./raster.tif"}}, proj__code="EPSG:32633"
    )
    item["properties"]["proj:geometry"] = square_geometry(0, 0, 40)
    Path("items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    safe = {"S2A_MSIL2A_X.SAFE/manifest.safe": b"<xfdu/>", "S2A_MSIL2A_X.SAFE/MTD_MSIL2A.xml": b"<n1:Level/>"}
    for kind in ("zip", "tar", "tar.gz", "SAFE.zip"):
        Path(f"product.{kind}").write_bytes(pack_archive(kind, safe if "SAFE" in kind else {"scene.tif": scene}))


def pack_archive(kind: str, members: dict[str, bytes]) -> bytes:
    """Pack files, whose names may be anything, into a zip or tar; in a tar, `link …` is a symbolic link."""
    packed = io.BytesIO()
    if kind.endswith("zip"):
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        return packed.getvalue()
    with tarfile.open(fileobj=packed, mode="w:gz" if kind.endswith("gz") else "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if content.startswith(b"link "):
                info.type, info.linkname, info.size = tarfile.SYMTYPE, content[5:].decode(), 0
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def list_commands() -> list[tuple[str, Command]]:
    """List the file, or none, and the command of all kinds of inputs."""
    return [(file, command) for file, commands in FILES.items() for command in commands] + [
        ("", command) for command in TEXTS
    ]


def draw_inputs(seeds: Path, seed_number: int, count: int) -> list[Input]:
    """Draw inputs by Hypothesis: always the same for the same seed."""
    drawn: list[Input] = []

    @seed(seed_number)
    @settings(max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(make_inputs(seeds))
    def collect_input(entry: Input) -> None:
        drawn.append(entry)

    collect_input()
    return drawn[:count]


@st.composite
def make_inputs(draw: st.DrawFn, seeds: Path) -> Input:
    """Draw a kind of input, and mutate its seed: bytes, values of JSON, members of an archive, words of a text."""
    file, command = draw(st.sampled_from(list_commands()))
    if not file:
        words = st.lists(st.sampled_from(TOKENS.split()), max_size=8).map(" ".join)
        text = draw(st.one_of(st.sampled_from(ODD_TEXTS), st.sampled_from(ODD_TEXTS), words, st.text(max_size=40)))
        return Input(file, text.encode("utf-8", "surrogatepass"), command)
    content = (seeds / file).read_bytes()
    if file.startswith("product") and draw(st.booleans()):
        scene, packed = (seeds / "raster.tif").read_bytes(), (seeds / "product.zip").read_bytes()
        contents = st.sampled_from([scene, b"", b"link ../../precious.tif", b"link /etc/passwd", packed])
        members = draw(st.dictionaries(st.sampled_from(MEMBERS), contents, max_size=4))
        return Input(
            file, pack_archive(file, {name.format(folder=seeds): member for name, member in members.items()}), command
        )
    if file.endswith("json") and draw(st.integers(0, 3)):
        document = json.loads(content)
        for _ in range(draw(st.integers(1, 3))):
            if places := list(_iter_places(document)):
                parent, key = draw(st.sampled_from(places))
                parent[key] = draw(st.sampled_from(ODD_VALUES))
        return Input(file, json.dumps(document).encode(), command)
    mutated = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(mutated)))
        length = draw(st.sampled_from([0, 1, 1, 2, 4, 8, 100, len(mutated)]))
        mutated[start : start + length] = draw(st.one_of(st.sampled_from(ODD_BYTES), st.binary(max_size=8)))
    return Input(file, bytes(mutated), command)


def _iter_places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the place of every value in a JSON document: its list or object, and its index or key."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _iter_places(value[key])


def _run_atheris(stage: Stage, seeds: Path, count: int) -> Iterator[TryFaults]:
    """Run atheris until it has made so many tries; a crash ends its process, and the next one continues."""
    results, current = stage.folder / "atheris.jsonl", stage.folder / "atheris.input"
    number = 0
    while number < count:
        arguments = (str(stage.example.root), seeds, results, current, str(count - number), str(stage.seed + number))
        done = subprocess.run(
            [sys.executable, "-m", "tests.reliability.fuzz", *arguments], capture_output=True, check=False
        )
        lines = results.read_text().splitlines() if results.exists() else []
        results.unlink(missing_ok=True)
        for line in lines:
            yield TRIES + number, [Fault(kind, text) for kind, text in json.loads(line)]
            number += 1
        if done.returncode or not lines:
            # An exception in the process, not a signal, is a traceback of the command or a fault of this harness.
            kind: Kind = "crash" if done.returncode < 0 else "traceback"
            last = current.read_bytes()[:200] if current.exists() else b""
            text = f"exit {done.returncode} after {last!r}: {done.stderr.decode(errors='replace')[-1500:]}"
            yield TRIES + number, [Fault(kind, f"atheris {text}")]
            number += 1
