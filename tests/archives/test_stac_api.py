from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
from fsspec.implementations.memory import MemoryFileSystem

from geographer.archives.base import SearchQuery
from geographer.archives.download_pool import FailedDownload, FetchedProduct, fetch_products
from geographer.archives.stac_api import StacSource
from geographer.base.errors import AccessDeniedError, NotFoundError, SourceError, UsageError
from geographer.base.retry import RetryPolicy
from tests import REPOSITORY
from tests.stac_servers import Fault, FaultyArchive, make_asset, make_stac_item, search_products, serve_stac

EVERYWHERE = SearchQuery(-180, -90, 180, 90)
ONCE = RetryPolicy(max_attempts=1)


def make_source(archive: FaultyArchive, **options: object) -> StacSource:
    return StacSource(provider="loopback", collection="scenes", url=archive.url, **{"page_size": 3, **options})


def add_scenes(archive: FaultyArchive, count: int = 7) -> FaultyArchive:
    for number in range(count):
        archive.add_item(f"scene-{number}", (number, 0, number + 1, 1), {"B02.tif": b"pixels"})
    return archive


def search_ids(source: StacSource, query: SearchQuery = EVERYWHERE, retry_policy: RetryPolicy = ONCE) -> list[str]:
    return [product.product_id for product in search_products(source, query, retry_policy)]


def test_search_finds_all_pages(tmp_path: Path) -> None:
    items = [
        make_stac_item(
            f"scene-{number}",
            (number, 0, number + 1, 1),
            {"B02": make_asset("http://127.0.0.1:9/B02.tif", b"x")},
            cloud_cover=12.5,
        )
        for number in range(7)
    ]
    with serve_stac(items, tmp_path) as url:
        source = StacSource(provider="rustac", collection="scenes", url=url, page_size=2)
        products = search_products(source, SearchQuery(0.5, 0.2, 5.5, 0.8, "2023-06-01", "2023-06-01"), ONCE)
        no_products = search_products(source, SearchQuery(0.5, 0.2, 5.5, 0.8, "2023-06-02", None), ONCE)
        with pytest.raises(NotFoundError, match="archive 'rustac' has no collection 'scene'; similar: 'scenes'"):
            search_products(StacSource(provider="rustac", collection="scene", url=url), EVERYWHERE, ONCE)
    assert [product.product_id for product in products] == [f"scene-{number}" for number in range(6)]
    assert no_products == []
    first = products[0]
    assert (first.provider, first.collection, first.cloud_cover, first.size) == ("rustac", "scenes", 12.5, 1)
    assert first.acquired == "2023-06-01T10:00:00"
    assert shapely.from_wkb(first.footprint).equals(shapely.box(0, 0, 1, 1))


def test_search_makes_one_request_per_page(archive: FaultyArchive) -> None:
    assert len(search_ids(make_source(add_scenes(archive, 7)))) == 7
    assert len(archive.list_search_bodies()) == 3
    assert [body.get("token") for body in archive.list_search_bodies()] == [None, "2", "3"]


def test_search_sends_box_time_and_query(archive: FaultyArchive) -> None:
    add_scenes(archive)
    list(
        make_source(archive, query={"eo:cloud_cover": 20}).search(
            SearchQuery(1.5, 0.25, 2.5, 0.75, "2023-06-01", "2023-06-30")
        )
    )
    (body,) = archive.list_search_bodies()
    searched_area = shapely.from_geojson(json.dumps(body["intersects"]))
    assert searched_area.equals(shapely.box(1.5, 0.25, 2.5, 0.75))
    assert body["collections"] == ["scenes"]
    assert body["datetime"] == "2023-06-01T00:00:00.000Z/2023-06-30T23:59:59.999Z"
    assert body["query"] == {"eo:cloud_cover": {"lte": 20}}


def test_product_has_item_metadata(archive: FaultyArchive) -> None:
    name = "S2B_MSIL2A_20230601T101031_N0509_R022_T32TPT_20230601T140000"
    properties = {
        "proj__code": "EPSG:32632",
        "proj__shape": [2, 2],
        "proj__transform": [10, 0, 600000, 0, -10, 5100000],
    }
    archive.add_item(
        name,
        (11, 45, 12, 46),
        {"B02.tif": b"blue", "SCL.tif": b"class"},
        cloud_cover=3.25,
        license="CC-BY-SA-4.0",
        **properties,
    )
    (product,) = search_products(make_source(archive), EVERYWHERE, ONCE)
    assert product.crs == "EPSG:32632"
    assert shapely.from_wkb(product.outline).equals(shapely.box(600000, 5099980, 600020, 5100000))
    assert (product.cloud_cover, product.size, product.licence) == (3.25, 9, "CC-BY-SA-4.0")
    assert product.properties["datatake"] == "S2B_20230601T101031"
    assert sorted(product.files) == ["B02.tif", "SCL.tif"]
    assert product.files["SCL.tif"].size == 5


def test_licence_falls_back_to_collection(archive: FaultyArchive) -> None:
    (product,) = search_products(make_source(add_scenes(archive, 1)), EVERYWHERE, ONCE)
    assert product.licence == "CC-BY-4.0"


def test_footprint_falls_back_to_bbox(archive: FaultyArchive) -> None:
    for item in add_scenes(archive, 2).items:
        item["geometry"] = None
    del archive.items[1]["bbox"]
    (product,) = search_products(make_source(archive), EVERYWHERE, ONCE)
    assert shapely.from_wkb(product.footprint).equals(shapely.box(0, 0, 1, 1))


def test_search_skips_products_without_area(archive: FaultyArchive) -> None:
    add_scenes(archive, 2).items[0]["geometry"] = {"type": "Point", "coordinates": [0.5, 0.5]}
    assert search_ids(make_source(archive)) == ["scene-1"]


def make_band_asset(archive: FaultyArchive, path: str, field: str, *bands: dict[str, str]) -> dict[str, Any]:
    return make_asset(archive.make_url(path), b"pixels", **{field: list(bands)})


def test_bands_select_assets_by_every_name(archive: FaultyArchive) -> None:
    archive.add_item("scene", (0, 0, 1, 1), {"B02.tif": b"bb", "B03.tif": b"ccc", "SCL.tif": b"dddd"})
    assets = archive.items[0]["assets"]
    assets["blue"] = make_band_asset(archive, "b", "eo:bands", {"name": "B2", "common_name": "blue"})
    assets["nir-1"] = make_band_asset(archive, "n", "bands", {"name": "B8A", "eo:common_name": "nir08"})
    pair = {"name": "B11", "eo:common_name": "swir16"}, {"name": "B12", "eo:common_name": "swir22"}
    assets["swir"] = make_band_asset(archive, "s", "bands", *pair)
    assets["swir16"] = make_band_asset(archive, "s1", "bands", pair[0])
    assets["thumb"] = {**make_band_asset(archive, "t", "eo:bands", {"name": "B2"}), "roles": ["thumbnail"]}
    source = make_source(archive)
    for bands, keys in (
        (("b02", "SCL"), {"B02", "SCL"}),
        (("B2", "b8a"), {"blue", "nir-1"}),
        (("blue", "NIR08"), {"blue", "nir-1"}),
        (("B12",), {"swir"}),
        (("B11",), {"swir16"}),
        (("swir16", "thumb"), {"swir16", "thumb"}),
        (("B02", "B99"), assets.keys() - {"thumb"}),
    ):
        source.bands = bands
        (product,) = search_products(source, EVERYWHERE, ONCE)
        assert {name.partition(".")[0] for name in product.files} == keys, bands
    assert product.bands["swir"] == (("B11", "swir16"), ("B12", "swir22"))


def test_band_of_several_assets_is_refused(archive: FaultyArchive) -> None:
    archive.add_item("scene", (0, 0, 1, 1), {"blue.tif": b"bb", "blue-jp2.jp2": b"ccc"})
    for asset in archive.items[0]["assets"].values():
        asset["eo:bands"] = [{"name": "B02", "common_name": "blue"}]
    source = make_source(archive)
    source.bands = ("B02",)
    with pytest.raises(UsageError, match=r"band 'B02' of product 'scene' .*: 'blue', 'blue-jp2'\. Name one"):
        search_products(source, EVERYWHERE, ONCE)
    source.bands = ("blue",)
    assert [list(product.files) for product in search_products(source, EVERYWHERE, ONCE)] == [["blue.tif"]]


def test_bands_of_collection_complete_items(archive: FaultyArchive) -> None:
    archive.add_item("scene", (0, 0, 1, 1), {"blue.tif": b"bb", "red.tif": b"ccc"})
    archive.collection_fields = {"item_assets": {"blue": {"eo:bands": [{"name": "B02"}]}, "gone": {"title": "x"}}}
    source = make_source(archive)
    source.bands = ("B02",)
    (product,) = search_products(source, EVERYWHERE, ONCE)
    assert (list(product.files), product.bands["blue.tif"]) == (["blue.tif"], (("B02", None),))


def test_assets_accept_comma_separated_names(archive: FaultyArchive) -> None:
    archive.add_item("scene", (0, 0, 1, 1), {"B02.tif": b"bb", "B03.tif": b"ccc", "SCL.tif": b"dddd"})
    (product,) = search_products(make_source(archive, assets="B02, SCL"), EVERYWHERE, ONCE)
    assert sorted(product.files) == ["B02.tif", "SCL.tif"]


def test_assets_option_selects_files(archive: FaultyArchive) -> None:
    archive.add_item("scene", (0, 0, 1, 1), {"B02.tif": b"bb", "B03.tif": b"ccc", "thumb.png": b"dddd"})
    archive.items[0]["assets"]["thumb"]["roles"] = ["thumbnail"]
    sizes = {}
    for assets in (None, "B0.", "B0[2,3]", ["B03"], ["thumb"]):
        (product,) = search_products(make_source(archive, assets=assets), EVERYWHERE, ONCE)
        sizes[str(assets)] = (product.size, sorted(product.files))
    assert sizes == {
        "None": (5, ["B02.tif", "B03.tif"]),
        "B0.": (5, ["B02.tif", "B03.tif"]),
        "B0[2,3]": (5, ["B02.tif", "B03.tif"]),
        "['B03']": (3, ["B03.tif"]),
        "['thumb']": (4, ["thumb.png"]),
    }
    with pytest.raises(SourceError, match=r"has none of the requested assets\. Its assets are B02, B03, thumb"):
        search_products(make_source(archive, assets=["B99"]), EVERYWHERE, ONCE)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(404),
        Fault(500),
        Fault(200, body=b""),
        Fault(200, body=b"<html>maintenance</html>"),
        Fault(200, body=b"[]"),
        Fault(200, body=b'{"type": "FeatureCollection"}'),
        Fault(200, body=b'{"features": null}'),
        Fault(200, body=b'{"features": {}}'),
        Fault(200, body=b'{"features": [], "numberReturned": 3}'),
        Fault(200, body=b'{"features": [{"type": "Feature", "properties": {}, "geometry": null}]}'),
        Fault(200, max_bytes=40),
        Fault(None),
        Fault(None, is_reset=True),
    ],
    ids=lambda fault: f"{fault.status}-{(fault.body or b'')[:24].decode()}-{fault.max_bytes}-{fault.is_reset}",
)
def test_failed_page_is_an_error(archive: FaultyArchive, fault: Fault) -> None:
    add_scenes(archive).set_fault("page=2", fault)
    with pytest.raises(SourceError):
        search_ids(make_source(archive))


def test_failed_page_is_retried(archive: FaultyArchive, fast_retry: RetryPolicy) -> None:
    add_scenes(archive).add_faults("page=2", Fault(503), Fault(None, is_reset=True))
    assert len(search_ids(make_source(archive), retry_policy=fast_retry)) == 7


def test_repeated_token_is_an_error(archive: FaultyArchive) -> None:
    add_scenes(archive).format_token = lambda _number: "2"
    with pytest.raises(SourceError, match="page 3: page 3 repeats an earlier page"):
        search_ids(make_source(archive))


def test_repeated_page_is_an_error(archive: FaultyArchive) -> None:
    add_scenes(archive)
    archive.set_fault("page=2", Fault(200, body=json.dumps(archive.make_page({"limit": 3})[1]).encode()))
    with pytest.raises(SourceError, match="page 2 repeats an earlier page"):
        search_ids(make_source(archive))


def test_missing_products_are_an_error(archive: FaultyArchive) -> None:
    add_scenes(archive).number_matched = 9
    with pytest.raises(SourceError, match="the archive states 9 products but sent 7"):
        search_ids(make_source(archive))


def test_short_pages_are_not_the_end(archive: FaultyArchive) -> None:
    add_scenes(archive).max_page_size = 2
    assert len(search_ids(make_source(archive, page_size=100))) == 7


def test_empty_pages_are_not_the_end(archive: FaultyArchive) -> None:
    body = add_scenes(archive).make_page({"limit": 3, "collections": ["scenes"], "token": "2"})[1]["links"][0]["body"]
    link = {"rel": "next", "href": "search", "method": "POST", "body": body}
    empty_page = json.dumps({"type": "FeatureCollection", "features": [], "links": [link]}).encode()
    archive.add_faults("page=2", Fault(200, body=empty_page))
    assert search_ids(make_source(archive)) == ["scene-0", "scene-1", "scene-2", "scene-6"]
    archive.set_fault("/search", Fault(200, body=empty_page))
    with pytest.raises(SourceError, match="10 consecutive pages are empty"):
        search_ids(make_source(archive))


def test_full_last_page_is_the_end(archive: FaultyArchive) -> None:
    assert len(search_ids(make_source(add_scenes(archive, 6)))) == 6
    assert len(archive.list_search_bodies()) == 2


def test_product_on_two_pages_is_yielded_once(archive: FaultyArchive) -> None:
    add_scenes(archive)
    shifted_page = archive.make_page({"limit": 3, "token": "2"})[1]
    shifted_page["features"][0] = archive.items[2]
    archive.add_faults("page=2", Fault(200, body=json.dumps(shifted_page).encode()))
    products = [product.product_id for page in make_source(archive).search(EVERYWHERE) for product in page]
    assert len(products) == len(set(products)) == 6


@pytest.mark.parametrize("name", ["next", "page", "cursor"])
def test_next_page_parameter_is_recognised(archive: FaultyArchive, name: str) -> None:
    add_scenes(archive).page_key = name
    assert len(search_ids(make_source(archive))) == 7


@pytest.mark.parametrize("status", [429, 503])
def test_search_error_has_retry_after(archive: FaultyArchive, status: int) -> None:
    retry_date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    add_scenes(archive).add_faults(
        "/search", Fault(status, {"Retry-After": "7"}), Fault(status, {"Retry-After": retry_date})
    )
    delays: list[float] = []
    for _ in range(2):
        with pytest.raises(SourceError, match=str(status)) as raised:
            list(make_source(archive).search(EVERYWHERE))
        assert raised.value.retryable
        delays.append(raised.value.retry_after or 0)
    assert delays[0] == 7
    assert 590 < delays[1] <= 600
    assert len(archive.list_search_bodies()) == 2


def test_rejected_search_is_not_retried(archive: FaultyArchive, fast_retry: RetryPolicy) -> None:
    error_body = b'{"description": "no such parameter"}'
    add_scenes(archive).set_fault("/search", Fault(400, {"Content-Type": "application/json"}, error_body))
    with pytest.raises(SourceError, match="no such parameter"):
        search_ids(make_source(archive), retry_policy=fast_retry)
    assert len(archive.list_search_bodies()) == 1


def test_point_is_searched_as_tiny_box(archive: FaultyArchive) -> None:
    assert search_ids(make_source(add_scenes(archive)), SearchQuery(1.5, 0.5, 1.5, 0.5)) == ["scene-1"]
    (body,) = archive.list_search_bodies()
    searched_area = shapely.from_geojson(json.dumps(body["intersects"]))
    assert searched_area.is_valid
    assert 0 < searched_area.area < 1e-12


def test_silent_archive_times_out(archive: FaultyArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geographer.archives.stac_pages.TIMEOUT_S", 0.2)
    add_scenes(archive).set_fault("/search", Fault(delay=1.0))
    with pytest.raises(SourceError, match="did not answer in time") as raised:
        search_ids(make_source(archive))
    assert raised.value.retryable


def test_search_writes_nothing_at_home(archive: FaultyArchive, tmp_path: Path) -> None:
    add_scenes(archive).set_fault("page=2", Fault(500))
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "from geographer.archives.stac_api import StacSource\n"
        "from geographer.archives.base import SearchQuery\n"
        "from geographer.base.errors import SourceError\n"
        f"source = StacSource(provider='loopback', collection='scenes', url='{archive.url}', page_size=3)\n"
        "try:\n    list(source.search(SearchQuery(-180, -90, 180, 90)))\nexcept SourceError:\n    print('failed')\n"
    )
    home.chmod(0o500)
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env={"HOME": str(home), "PATH": ""},
        cwd=REPOSITORY,
        check=False,
        timeout=60,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "failed\n", "")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": None}, "Pass --source-option url="),
        ({"url": "http://user:geheim@127.0.0.1/"}, "a user, password, query or fragment"),
        ({"generic": True}, "has no option 'generic'"),
        ({"page_size": True}, "invalid page_size"),
        ({"query": {"datetime": "2023"}}, "the query cannot contain 'datetime'"),
    ],
)
def test_source_rejects_invalid_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        StacSource(provider=None, collection="scenes", **{"url": "https://stac.example/", **options})


def test_provider_defaults_to_host() -> None:
    source = StacSource(provider=None, collection="scenes", url="https://stac.example/v1/")
    assert source.provider == "stac.example"


def test_filters_are_sent_as_operators(archive: FaultyArchive) -> None:
    query = {"platform": "x1", "gsd": {"lte": 10}, "tile": ["a", "b"], "filter": {"op": "=", "args": [1, 1]}}
    search_ids(make_source(add_scenes(archive), query=query))
    body = archive.list_search_bodies()[0]
    assert body["query"] == {"platform": {"eq": "x1"}, "gsd": {"lte": 10}, "tile": {"in": ["a", "b"]}}
    assert (body["filter"], body["filter-lang"]) == ({"op": "=", "args": [1, 1]}, "cql2-json")


@pytest.mark.parametrize("address", ["/etc/hostname", "file:///etc/hostname"])
def test_addresses_do_not_lead_to_local_files(archive: FaultyArchive, tmp_path: Path, address: str) -> None:
    page = add_scenes(archive).make_page({"limit": 3})[1]
    page["links"][0] |= {"href": address, "method": "GET"}
    archive.add_faults("page=1", Fault(200, body=json.dumps(page).encode()))
    with pytest.raises(SourceError):
        search_ids(make_source(archive))
    archive.items = archive.items[:1]
    archive.items[0]["assets"]["B02"] = {"href": address}
    source = make_source(archive)
    (product,) = search_products(source, EVERYWHERE, ONCE)
    with pytest.raises(SourceError):
        source.fetch(product, tmp_path, lambda _n_bytes: None)


def test_relative_addresses_follow_self_link(archive: FaultyArchive, tmp_path: Path) -> None:
    item = add_scenes(archive, 1).items[0]
    item["links"] = [{"rel": "self", "href": archive.make_url("scene-0/item.json")}]
    item["assets"]["B02"]["href"] = "./B02.tif"
    source = make_source(archive)
    n_bytes: list[int] = []
    source.fetch(search_products(source, EVERYWHERE, ONCE)[0], tmp_path, n_bytes.append)
    assert ((tmp_path / "B02.tif").read_bytes(), n_bytes[-1]) == (b"pixels", 6)


def test_assets_come_from_object_stores(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fsspec chooses the file system by the address; here one in memory takes the place of S3."""

    class Store(MemoryFileSystem):
        protocol = "s3"
        failure: Exception | None = None
        n_missing = 0

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return f"/{path.removeprefix('s3://').strip('/')}"

        def size(self, path: str) -> int:
            if self.failure:
                raise self.failure
            return int(super().size(path)) + self.n_missing

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "s3", Store)
    Store(skip_instance_cache=True).pipe("/bucket/B02.tif", b"pixels")
    for asset in add_scenes(archive, 1).items[0]["assets"].values():
        asset |= {"href": "s3://bucket/B02.tif"}
    source = make_source(archive)
    (product,) = search_products(source, EVERYWHERE, ONCE)
    n_bytes: list[int] = []
    source.fetch(product, tmp_path, n_bytes.append)
    assert ((tmp_path / "B02.tif").read_bytes(), n_bytes) == (b"pixels", [6])

    class NoCredentialsError(Exception):
        pass

    for failure, error, message in (
        (NoCredentialsError(), AccessDeniedError, "set the environment variables of the store"),
        (FileNotFoundError("gone"), SourceError, "'s3://bucket/B02.tif' does not exist"),
        (TimeoutError(), SourceError, "did not answer in time"),
    ):
        monkeypatch.setattr(Store, "failure", failure)
        with pytest.raises(error, match=message):
            source.fetch(product, tmp_path, n_bytes.append)
    monkeypatch.setattr(Store, "failure", None)
    monkeypatch.setattr(Store, "n_missing", 2)
    with pytest.raises(SourceError, match="6 of 8 bytes arrived"):
        source.fetch(product, tmp_path, n_bytes.append)


@pytest.mark.parametrize(("status", "needs_order"), [("orderable", True), ("pending", True), ("failed", False)])
def test_unavailable_items_are_not_requested(
    archive: FaultyArchive, tmp_path: Path, status: str, needs_order: bool
) -> None:
    add_scenes(archive, 1).items[0]["properties"]["order:status"] = status
    source = make_source(archive)
    (failed,) = fetch_products(source, search_products(source, EVERYWHERE, ONCE), tmp_path, retry_policy=ONCE)
    assert isinstance(failed, FailedDownload)
    assert (failed.needs_order, archive.count_requests("/files/scene-0/B02.tif")) == (needs_order, 0)


@pytest.mark.parametrize(("tier", "needs_order"), [("Deep Archive", True), ("GLACIER", True), ("Standard", False)])
def test_archived_files_need_order(archive: FaultyArchive, tmp_path: Path, tier: str, needs_order: bool) -> None:
    add_scenes(archive, 1).items[0]["assets"]["B02"]["storage:tier"] = tier
    source = make_source(archive)
    (product,) = search_products(source, EVERYWHERE, ONCE)
    archive.add_faults("scene-0/B02.tif", Fault(403))
    failed, fetched = (next(fetch_products(source, [product], tmp_path, retry_policy=ONCE)) for _ in range(2))
    assert isinstance(failed, FailedDownload)
    assert (failed.needs_order, failed.is_ordered, failed.is_replaceable) == (needs_order, False, needs_order)
    assert isinstance(fetched, FetchedProduct)


def test_libraries_are_imported_lazily() -> None:
    script = (
        "import sys, geographer.archives.stac_api as _; sys.exit(any(map(sys.modules.get, ('pystac', 'requests'))))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=False).returncode == 0
