from __future__ import annotations

import contextlib
import errno
import json
import socket
import subprocess
import sys
from collections.abc import Callable
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
from tests.stac_servers import Fault, FaultyArchive, search_products

EVERYWHERE = SearchQuery(-180, -90, 180, 90)
ONCE = RetryPolicy(max_attempts=1)


def make_source(**options: object) -> EodagSource:
    """Return the source of the provider that `loopback_provider` configures."""
    return EodagSource(provider="loopback", collection="scenes", **{"page_size": 3, **options})


def add_scenes(archive: FaultyArchive, count: int = 7) -> FaultyArchive:
    for number in range(count):
        archive.add_item(f"scene-{number}", (number, 0, number + 1, 1), {"B02.tif": b"pixels"})
    return archive


def search_ids(source: EodagSource, query: SearchQuery = EVERYWHERE, retry_policy: RetryPolicy = ONCE) -> list[str]:
    return [product.product_id for product in search_products(source, query, retry_policy)]


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


@pytest.mark.usefixtures("loopback_provider")
def test_linked_pages_need_known_parameter(archive: FaultyArchive) -> None:
    add_scenes(archive).page_key = "weiter"
    with pytest.raises(SourceError, match="next_page_token_key"):
        search_ids(make_source())
    assert len(search_ids(make_source(next_page_token_key="weiter"))) == 7


@pytest.mark.usefixtures("loopback_provider")
def test_linked_pages_must_be_complete(archive: FaultyArchive) -> None:
    first_page = json.dumps(add_scenes(archive).make_page({"limit": 3})[1]).encode()
    source = make_source()
    for fault in (Fault(500), Fault(200, body=b'{"type": "FeatureCollection"}'), Fault(200, body=first_page)):
        archive.add_faults("page=2", fault)
        with pytest.raises(SourceError):
            search_ids(source)
    assert len(search_ids(source)) == 7
    archive.format_token = lambda _number: "2"
    with pytest.raises(SourceError, match="page 2 links to an earlier page"):
        search_ids(source)


def test_url_of_old_recipes_is_stac_api(archive: FaultyArchive, tmp_path: Path) -> None:
    """Recipes of version 0.1.0 gave a STAC API's URL to the source `eodag`."""
    add_scenes(archive, 4).items[3]["properties"]["eo:cloud_cover"] = 30
    options = {"url": f"{archive.url}/search", "page_size": 2, "next_page_token_key": "token", "generic": True}
    source = EodagSource(provider="mine", collection="scenes", query={"eo:cloud_cover": 20}, **options)
    products = search_products(source, EVERYWHERE, ONCE)
    assert [product.provider for product in products] == ["mine"] * 4
    assert archive.list_search_bodies()[0]["query"] == {"eo:cloud_cover": {"lte": 20}}
    source.fetch(products[0], tmp_path, lambda _n_bytes: None)
    assert [path.name for path in tmp_path.iterdir()] == ["B02.tif"]
    with pytest.raises(UsageError, match="needs a name to record"):
        EodagSource(provider=None, collection="scenes", url=archive.url)


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


def test_generic_accepts_unlisted_collection() -> None:
    source = EodagSource(provider="earth_search", collection="cop-dem-glo-30", generic=True)
    assert (source.provider, source.collection) == ("earth_search", "cop-dem-glo-30")


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
