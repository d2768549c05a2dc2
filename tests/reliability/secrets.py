"""Credentials in every place that takes a text: neither log, state and other files of the dataset nor any output has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.reliability.example import CRS, ONE
from tests.reliability.forging import edit_database
from tests.reliability.oracles import LOG, STATE
from tests.reliability.processes import Command, Finished, run
from tests.reliability.stage import Fault, Stage, Try, find_failures
from tests.sample_history import point_geometry, write_features
from tests.stac_servers import make_stac_item

URLS: Final = (
    "https://user:{}@host.example/x.tif", "https://user:{}/ss@host.example/x", "https://user:a@{}@host.example/x", "HTTPS://USER:{}@HOST.EXAMPLE/",
    "https://host.example/x?sig={}", "https://host.example/x?sig=a'{}", 'https://host.example/x?sig="{}"', "https://host.example/x?a=1&amp;sig={}",
    "https://host.example/x?X-Amz-Signature={}&X-Amz-Date=1", "https://host.example/x?sig=%2B{}%3D&se=2026", "https://host.example/x;token={}",
    "https://host.example/x#access_token={}", "https://{}@host.example/x", "https://user:{}@[::1]/x", "ftp://u:{}@host.example/f",
    "postgres://u:{}@db.example/x", "s3://AKIA1:{}@bucket/x", "ssh://u:{}@h.example", "/vsicurl?pc_url_signing=yes&url=https://h.example/x?sig={}",
    "/vsicurl/https://u:{}@h.example/x.tif", "/vsizip//vsicurl/https://h.example/x.zip?sig={}", "see https://host.example/x?sig={}, please",
    "https://host.example/x?sig=ünï{}", "https://host.example/a b?sig={}", "https://host.example\\@u:{}@evil.example/",
)  # fmt: skip
"""Texts with the secret in a URL; `{}` is the secret."""
PAIRS: Final = (
    "password={}", "password: {}", "PASSWORD = '{}'", "passwd={}", "pwd={}", "token: {}", "token={}", "api_key={}", "apikey: {}", "API-Key: {}", "secret={}",
    "AWS_SECRET_ACCESS_KEY={}", "PGPASSWORD={} psql", "client_secret={}", "access_token: {}", '{{"password": "{}"}}', '"token":"{}"', "Authorization: Bearer {}",
    "Bearer {}", "Authorization: Basic {}", "authorization=Token {}", "X-Api-Key: {}", "user:{}@host.example", "curl -u user:{} https://host.example",
    "--password {}", "--token={}", "x\npassword={}\ny", "Cookie: session={}", "SharedAccessSignature={}", "AccountKey={};EndpointSuffix=x",
)  # fmt: skip
"""Texts with the secret beside its name."""
_ADD: Final = ("add", "features", "{folder}/secret.geojson", *CRS, "--on-error", "skip")
PLACES: Final[dict[str, tuple[Command, bool]]] = {
    "message": (("add", "classes", "lagoon", "-m", "{text}"), False),
    "author": (("add", "classes", "lagoon", "--author", "{text}"), False),
    "idempotency key": (("add", "classes", "lagoon", "--idempotency-key", "{text}"), False),
    "class": (("add", "classes", "{text}"), False),
    "tag": (("tag", "{text}"), False),
    "tag message": (("tag", "named", "-m", "{text}"), False),
    "recipe": (("cut", "grid", "{text}", "--size", "32", *ONE), False),
    "collection": (("add", "rasters", "{inputs}/again/c.tif", "--collection", "{text}"), False),
    "input": (("add", "features", "{text}"), True),
    "raster": (("add", "rasters", "{text}"), True),
    "reference": (("add", "rasters", "{text}", "--mode", "reference"), True),
    "dataset": (("import", "dataset", "{text}"), True),
    "where": (("cut", "grid", "more", "--size", "32", "--rasters-where", "collection <> $${text}$$", *ONE), False),
    "unknown column": (("features", "--where", "nosuch = $${text}$$"), False),
    "revision": (("features", "--at", "{text}"), False),
    "option": (
        ("download", "s2", "--source", "tests.reliability.inputs:FileSource", "--source-option", "file={text}", *ONE),
        True,
    ),
    "query": (("download", "s2", "--provider", "{text}", "--collection", "{text}", "--start", "{text}", *ONE), False),
    "property": ((*_ADD, "--class", "class"), True),
    "feature id": ((*_ADD, "--id", "secret"), True),
    "column": ((*_ADD, "--as-class", "pond", "-m", "column"), True),
    "class of a feature": ((*_ADD, "--class", "secret"), True),
    "STAC asset": (("add", "catalogue", "{folder}/items.json"), True),
    "unknown command": (("add", "{text}"), False),
}
"""A command for each place, and whether only URLs are tried there: other texts are data."""


def list_cases(_stage: Stage) -> list[tuple[str, str]]:
    """List all places with all texts."""
    return [
        (place, text) for place, (_, only_urls) in PLACES.items() for text in (URLS if only_urls else (*URLS, *PAIRS))
    ]


def attack_case(stage: Stage, one: Try, case: tuple[str, str]) -> Iterator[Fault]:
    """Yield faults if a command keeps or prints the secret in a text."""
    root, (place, text) = one.copy_dataset(stage.example.root), case
    secret = f"Zq{one.random.getrandbits(48):012x}"
    _write_inputs(one.folder, text.format(secret))
    values = {"text": text.format(secret), "folder": str(one.folder), "inputs": str(stage.example.inputs)}
    command = [argument.format_map(values) for argument in PLACES[place][0]]
    done = run(root, command, ("log", "-n", "2", "--json"), ("verify",))
    yield from find_failures(done)
    if found := [name for name, content in _iter_contents(root, done) if secret in content]:
        yield Fault("silent", f"exit {done[0].code}, the secret is in {', '.join(found)}")
    yield from one.find_changes_outside(root)


def _write_inputs(folder: Path, text: str) -> None:
    write_features(folder / "secret.geojson", {"new1": ("pond", point_geometry(20.5, 20.5))})
    document = json.loads((folder / "secret.geojson").read_text())
    document["features"][0]["properties"] |= {"secret": text, text: "x"}
    (folder / "secret.geojson").write_text(json.dumps(document))
    item = make_stac_item("item1", (14.9, 46.8, 15.1, 47.0), {"data": {"href": text, "title": text}}, note=text)
    item["links"] = [{"rel": "self", "href": text}]
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))


def _iter_contents(root: Path, finished: list[Finished]) -> Iterator[tuple[str, str]]:
    """Yield what a dataset keeps and what commands printed: names and texts."""
    for done in finished:
        yield f"the output of {done.arguments[0]}", done.out + done.err
    for path in sorted(root.rglob("*")):
        if path.is_file() and ".dvc" not in path.relative_to(root).parts:
            yield path.name, f"{path.relative_to(root)} {path.read_bytes().decode('latin-1')}"
    for file in (LOG, STATE):
        with edit_database(root / file, read_only=True) as connection:
            query = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'edited'"
            for (table,) in connection.execute(query).fetchall():
                yield (
                    f"{file.stem}.{table}",
                    str(connection.execute(f'SELECT "{table}"::VARCHAR FROM "{table}"').fetchall()),
                )
