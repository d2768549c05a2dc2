from __future__ import annotations

import contextlib
import errno
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import shapely

from geographer.archives.base import SearchQuery
from geographer.archives.download_pool import fetch_products
from geographer.archives.eodag import EodagSource
from geographer.base.errors import GeographerError, NotFoundError, SourceError, UsageError
from geographer.base.retry import RetryPolicy
from tests import REPOSITORY
from tests.stac_servers import Fault, FaultyArchive, make_asset, make_stac_item, search_products, serve_stac

EVERYWHERE = SearchQuery(-180, -90, 180, 90)
ONCE = RetryPolicy(max_attempts=1)


def make_source(archive: FaultyArchive, **options: object) -> EodagSource:
    return EodagSource(provider="loopback", collection="scenes", url=archive.url, **{"page_size": 3, **options})


def add_scenes(archive: FaultyArchive, count: int = 7) -> FaultyArchive:
    for number in range(count):
        archive.add_item(f"scene-{number}", (number, 0, number + 1, 1), {"B02.tif": b"pixels"})
    return archive


def search_ids(source: EodagSource, query: SearchQuery = EVERYWHERE, retry_policy: RetryPolicy = ONCE) -> list[str]:
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
        source = EodagSource(provider="rustac", collection="scenes", url=url, page_size=2)
        products = search_products(source, SearchQuery(0.5, 0.2, 5.5, 0.8, "2023-06-01", "2023-06-01"), ONCE)
        no_products = search_products(source, SearchQuery(0.5, 0.2, 5.5, 0.8, "2023-06-02", None), ONCE)
        with pytest.raises(NotFoundError, match="archive 'rustac' has no collection 'scene'; similar: 'scenes'"):
            search_products(EodagSource(provider="rustac", collection="scene", url=url), EVERYWHERE, ONCE)
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


def test_bands_select_assets(archive: FaultyArchive) -> None:
    archive.add_item("scene", (0, 0, 1, 1), {"B02.tif": b"bb", "B03.tif": b"ccc", "SCL.tif": b"dddd"})
    source = make_source(archive)
    for bands, files in ((("b02", "SCL"), ["B02.tif", "SCL.tif"]), (("B02", "B99"), ["B02.tif", "B03.tif", "SCL.tif"])):
        source.bands = bands
        (product,) = search_products(source, EVERYWHERE, ONCE)
        assert sorted(product.files) == files


def test_assets_accept_comma_separated_names(archive: FaultyArchive) -> None:
    archive.add_item("scene", (0, 0, 1, 1), {"B02.tif": b"bb", "B03.tif": b"ccc", "SCL.tif": b"dddd"})
    (product,) = search_products(make_source(archive, assets="B02, SCL"), EVERYWHERE, ONCE)
    assert sorted(product.files) == ["B02.tif", "SCL.tif"]


@pytest.mark.parametrize("error", [socket.gaierror(-3, "try again"), OSError(errno.ENETUNREACH, "no network")])
def test_unreachable_archive_is_reported(
    archive: FaultyArchive, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = EodagSource(provider="cop_dataspace", collection="S2_MSI_L2A")

    def raise_error(*_args: object, **_kwargs: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", raise_error)
    with pytest.raises(SourceError, match="the archive cannot be reached") as raised:
        search_products(source, EVERYWHERE, ONCE)
    assert raised.value.retryable


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
    with pytest.raises(SourceError, match="page 2 links to an earlier page"):
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


def test_unknown_page_parameter_needs_option(archive: FaultyArchive) -> None:
    add_scenes(archive).page_key = "weiter"
    with pytest.raises(SourceError, match="next_page_token_key"):
        search_ids(make_source(archive))
    assert len(search_ids(make_source(archive, next_page_token_key="weiter"))) == 7


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


@pytest.mark.parametrize(
    ("provider", "collection", "message"),
    [
        ("earth_serch", "S2_MSI_L2A", "provider 'earth_serch' is not known to eodag; similar: 'earth_search'"),
        (
            "earth_search",
            "S2_MSI_L2B",
            "collection 'S2_MSI_L2B' of provider 'earth_search' is not known to eodag.*'S2_MSI_L2A_COG'",
        ),
        (None, "S2_MSI_2A", "collection 'S2_MSI_2A' is not known to eodag.*'S2_MSI_L2A"),
        ("dedl", "S2_MSI_L2A", "provider 'dedl' requires a login for searches: put the credentials for 'dedl'"),
    ],
)
def test_unknown_names_suggest_similar_ones(provider: str | None, collection: str, message: str) -> None:
    with pytest.raises(GeographerError, match=message):
        EodagSource(provider=provider, collection=collection)


def test_preferred_provider_is_recorded() -> None:
    source = EodagSource(provider=None, collection="S2_MSI_L2A")
    assert source.provider == "cop_dataspace"


@pytest.mark.parametrize(
    "options",
    [
        {"colour": "red"},
        {"page_size": 0},
        {"page_size": "3"},
        {"url": "ftp://127.0.0.1/"},
        {"url": "http://user:geheim@127.0.0.1/"},
        {"url": "http://127.0.0.1/?token=x"},
        {"query": {"start": "2023"}},
        {"query": ["a"]},
        {"assets": "("},
        {"assets": 3},
        {"generic": "yes"},
        {"next_page_token_key": "a b"},
    ],
)
def test_source_rejects_invalid_options(options: dict[str, object]) -> None:
    with pytest.raises(UsageError) as raised:
        EodagSource(provider="earth_search", collection="S2_MSI_L2A", **options)
    assert "geheim" not in str(raised.value)


def test_source_requires_collection() -> None:
    with pytest.raises(UsageError, match="Pass its name"):
        EodagSource(provider="earth_search", collection=None)


def test_url_requires_new_provider_name(archive: FaultyArchive) -> None:
    with pytest.raises(UsageError, match="needs a name to record"):
        EodagSource(provider=None, collection="scenes", url=archive.url)
    with pytest.raises(UsageError, match="is known to eodag"):
        EodagSource(provider="earth_search", collection="scenes", url=archive.url)


def test_provider_whitelist_allows_url(archive: FaultyArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EODAG_PROVIDERS_WHITELIST", '["earth_search"]')
    assert len(search_ids(make_source(add_scenes(archive)))) == 7


def test_generic_accepts_unlisted_collection() -> None:
    source = EodagSource(provider="earth_search", collection="cop-dem-glo-30", generic=True)
    assert (source.provider, source.collection) == ("earth_search", "cop-dem-glo-30")


def test_point_is_searched_as_tiny_box(archive: FaultyArchive) -> None:
    assert search_ids(make_source(add_scenes(archive)), SearchQuery(1.5, 0.5, 1.5, 0.5)) == ["scene-1"]
    (body,) = archive.list_search_bodies()
    searched_area = shapely.from_geojson(json.dumps(body["intersects"]))
    assert searched_area.is_valid
    assert 0 < searched_area.area < 1e-12


def test_silent_archive_times_out(archive: FaultyArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eodag.plugins.search.qssearch.DEFAULT_SEARCH_TIMEOUT", 0.2)
    add_scenes(archive).set_fault("/search", Fault(delay=1.0))
    with pytest.raises(SourceError, match="did not answer in time") as raised:
        search_ids(make_source(archive))
    assert raised.value.retryable


NUMBERED = """
numbered:
  url: {url}
  priority: 1
  search:
    type: StacSearch
    api_endpoint: {url}/search
    need_auth: false
    discover_queryables: {{fetch_url: null, collection_fetch_url: null}}
    discover_collections: {{fetch_url: null}}
    pagination:
      next_page_url_key_path: null
      next_page_query_obj_key_path: null
      next_page_token_key: page
      max_limit: 3
  products:
    scenes: {{_collection: scenes}}
    GENERIC_COLLECTION: {{_collection: "{{collection}}"}}
  download:
    type: HTTPDownload
"""


@pytest.fixture
def numbered(archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyArchive:
    """Configure an archive whose pages are requested by number."""
    (tmp_path / "eodag.yml").write_text(NUMBERED.format(url=archive.url))
    monkeypatch.setenv("EODAG_CFG_FILE", str(tmp_path / "eodag.yml"))
    archive.page_key = "page"
    return archive


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (2, 1), (3, 2), (7, 3)])
def test_numbered_pages_end_with_short_page(numbered: FaultyArchive, count: int, requests: int) -> None:
    add_scenes(numbered, count)
    assert len(search_ids(EodagSource(provider="numbered", collection="scenes"))) == count
    assert len(numbered.list_search_bodies()) == requests


def test_numbered_pages_check_total(numbered: FaultyArchive) -> None:
    add_scenes(numbered, 7).max_page_size = 2
    numbered.number_matched = 7
    with pytest.raises(SourceError, match="states 7 products but sent 2"):
        search_ids(EodagSource(provider="numbered", collection="scenes"))


def test_numbered_pages_reject_repeated_page(numbered: FaultyArchive) -> None:
    page = json.dumps(add_scenes(numbered, 3).make_page({"limit": 3})[1]).encode()
    numbered.set_fault("/search", Fault(200, body=page))
    with pytest.raises(SourceError, match="page 2 repeats an earlier page"):
        search_ids(EodagSource(provider="numbered", collection="scenes"))


def test_generic_collection_is_searched(numbered: FaultyArchive) -> None:
    numbered.add_item("other", (0, 0, 1, 1), {"B02.tif": b"x"}, collection="unlisted")
    source = EodagSource(provider="numbered", collection="unlisted", generic=True)
    (product,) = search_products(source, EVERYWHERE, ONCE)
    assert (product.product_id, product.collection) == ("other", "unlisted")


def make_odata_page(archive: FaultyArchive, count: int) -> Callable[[dict[str, str]], bytes]:
    """Return the responses of the Copernicus Data Space catalogue with `count` products."""

    def page(query: dict[str, str]) -> bytes:
        start, limit = int(query["$skip"]), min(int(query["$top"]), 2)
        products = [make_odata_product(number) for number in range(count)][start : start + limit]
        answer: dict[str, Any] = {"value": products, "@odata.count": count}
        if start + limit < count:
            answer["@odata.nextLink"] = f"{archive.url}/files/odata?%24top={limit}&%24skip={start + limit}"
        return json.dumps(answer).encode()

    return page


def make_odata_product(number: int) -> dict[str, Any]:
    attributes = {
        "cloudCover": 4.5,
        "tileId": "32TPT",
        "orbitNumber": 39310,
        "relativeOrbitNumber": 22,
        "processingLevel": "S2MSI2A",
        "processorVersion": "05.09",
        "productGroupId": "GS2A_20230101T101011_039310_N05.09",
        "platformSerialIdentifier": "A",
    }
    return {
        "Id": f"0000-{number}",
        "Name": f"S2A_MSIL2A_20230101T101011_N0509_R022_T32TPT_20230101T12345{number}.SAFE",
        "ContentLength": 1234,
        "ContentDate": {"Start": "2023-01-01T10:10:11.000Z", "End": "2023-01-01T10:10:12.000Z"},
        "Footprint": "geography'SRID=4326;POLYGON ((11 45, 12 45, 12 46, 11 46, 11 45))'",
        "Checksum": [{"Algorithm": "MD5", "Value": "a" * 32}],
        "Online": number == 0,
        "Attributes": [{"Name": name, "Value": value} for name, value in attributes.items()],
        "Assets": [],
    }


@pytest.fixture
def copernicus(archive: FaultyArchive, monkeypatch: pytest.MonkeyPatch) -> FaultyArchive:
    """Redirect eodag's provider to loopback."""
    monkeypatch.setenv("EODAG__COP_DATASPACE__SEARCH__API_ENDPOINT", f"{archive.url}/files/odata")
    archive.files["odata"] = make_odata_page(archive, 5)
    return archive


def test_copernicus_search_finds_all_pages(copernicus: FaultyArchive) -> None:
    products = search_products(EodagSource(provider=None, collection="S2_MSI_L2A"), EVERYWHERE, ONCE)
    assert len(products) == 5
    assert len(copernicus.requests) == 3
    first = products[0]
    assert (first.provider, first.collection) == ("cop_dataspace", "S2_MSI_L2A")
    assert first.product_id == "S2A_MSIL2A_20230101T101011_N0509_R022_T32TPT_20230101T123450"
    assert (first.cloud_cover, first.size, first.acquired) == (4.5, 1234, "2023-01-01T10:10:11")
    assert first.files == {}
    expected = {
        "tile": "32TPT",
        "datatake": "S2A_20230101T101011",
        "processing_baseline": "05.09",
        "absolute_orbit": 39310,
    }
    assert expected.items() <= first.properties.items()
    assert shapely.from_wkb(first.footprint).equals(shapely.box(11, 45, 12, 46))


def test_copernicus_search_checks_total(copernicus: FaultyArchive) -> None:
    page = json.loads(make_odata_page(copernicus, 5)({"$skip": "4", "$top": "2"}))
    page["@odata.count"] = 7
    copernicus.files["odata"] = lambda _query: json.dumps(page).encode()
    with pytest.raises(SourceError, match="states 7 products but sent 1"):
        search_ids(EodagSource(provider="cop_dataspace", collection="S2_MSI_L2A"))


def test_copernicus_failed_page_is_an_error(copernicus: FaultyArchive) -> None:
    copernicus.add_faults("odata", Fault(200), Fault(503, {"Retry-After": "3"}))
    with pytest.raises(SourceError) as raised:
        search_ids(EodagSource(provider="cop_dataspace", collection="S2_MSI_L2A"))
    assert (raised.value.retryable, raised.value.retry_after, len(copernicus.requests)) == (True, 3, 2)


def test_requests_stay_on_loopback(numbered: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_scenes(numbered)
    hosts: set[str] = set()
    resolve = socket.getaddrinfo

    def record_host(host: Any, *args: Any, **kwargs: Any) -> Any:
        hosts.add(str(host))
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", record_host)
    for options in ({}, {"generic": True}):
        source = EodagSource(provider="numbered", collection="scenes", **options)
        list(
            fetch_products(source, search_products(source, EVERYWHERE, ONCE), tmp_path / "downloads", retry_policy=ONCE)
        )
    for provider, collection in (("earth_search", "S2_MSI_L1C"), (None, "S2_MSI_L2A"), (None, "no-such-thing")):
        with contextlib.suppress(NotFoundError):
            EodagSource(provider=provider, collection=collection)
    assert hosts == {"127.0.0.1"}


def test_search_writes_nothing_at_home(archive: FaultyArchive, tmp_path: Path) -> None:
    add_scenes(archive).set_fault("page=2", Fault(500))
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "from geographer.archives.eodag import EodagSource\n"
        "from geographer.archives.base import SearchQuery\n"
        "from geographer.base.errors import SourceError\n"
        f"source = EodagSource(provider='loopback', collection='scenes', url='{archive.url}', page_size=3)\n"
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


def test_eodag_is_imported_lazily() -> None:
    script = "import sys, geographer.archives.eodag; sys.exit('eodag' in sys.modules or 'requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=False).returncode == 0


def test_configured_provider_accepts_any_collection(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "eodag.yml"
    no_products = {"fetch_url": None, "collection_fetch_url": None}
    search = {"type": "StacSearch", "api_endpoint": f"{archive.url}/search", "need_auth": False}
    search |= {"discover_queryables": no_products, "discover_collections": {"fetch_url": None}}
    custom_provider = {"priority": 1, "search": search, "download": {"type": "HTTPDownload", "extract": True}}
    configuration.write_text(
        json.dumps({"mine": {**custom_provider, "products": {"GENERIC_COLLECTION": {"_collection": "{collection}"}}}})
    )
    monkeypatch.setenv("EODAG_CFG_FILE", str(configuration))
    add_scenes(archive, 2)

    assert search_ids(EodagSource(provider="mine", collection="scenes")) == ["scene-0", "scene-1"]
