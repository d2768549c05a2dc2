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

from geographer.archives.base import SearchQuery, SourceError
from geographer.archives.download_pool import fetch_all
from geographer.archives.eodag import EodagSource
from geographer.base.errors import GeographerError, NotFoundError, UsageError
from geographer.base.retry import RetryPolicy
from tests import REPOSITORY
from tests.stac_servers import Fault, FaultyArchive, asset_of, search_all, stac_item, stac_server

EVERYWHERE = SearchQuery(-180, -90, 180, 90)
ONCE = RetryPolicy(tries=1)


def source_of(archive: FaultyArchive, **options: object) -> EodagSource:
    return EodagSource(provider="loopback", collection="scenes", url=archive.url, **{"page_size": 3, **options})


def filled(archive: FaultyArchive, count: int = 7) -> FaultyArchive:
    for number in range(count):
        archive.add(f"scene-{number}", (number, 0, number + 1, 1), {"B02.tif": b"pixels"})
    return archive


def ids(source: EodagSource, query: SearchQuery = EVERYWHERE, patience: RetryPolicy = ONCE) -> list[str]:
    return [product.product_id for product in search_all(source, query, patience)]


def test_all_pages_of_a_real_stac_server_are_found(tmp_path: Path) -> None:
    items = [
        stac_item(
            f"scene-{number}",
            (number, 0, number + 1, 1),
            {"B02": asset_of("http://127.0.0.1:9/B02.tif", b"x")},
            cloud=12.5,
        )
        for number in range(7)
    ]
    with stac_server(items, tmp_path) as url:
        source = EodagSource(provider="rustac", collection="scenes", url=url, page_size=2)
        found = search_all(source, SearchQuery(0.5, 0.2, 5.5, 0.8, "2023-06-01", "2023-06-01"), ONCE)
        nothing = search_all(source, SearchQuery(0.5, 0.2, 5.5, 0.8, "2023-06-02", None), ONCE)
        with pytest.raises(NotFoundError, match="no collection 'scene' in the archive 'rustac'; there is 'scenes'"):
            search_all(EodagSource(provider="rustac", collection="scene", url=url), EVERYWHERE, ONCE)
    assert [product.product_id for product in found] == [f"scene-{number}" for number in range(6)]
    assert nothing == []
    first = found[0]
    assert (first.provider, first.collection, first.cloud_cover, first.size) == ("rustac", "scenes", 12.5, 1)
    assert first.acquired == "2023-06-01T10:00:00"
    assert shapely.from_wkb(first.footprint).equals(shapely.box(0, 0, 1, 1))


def test_requests_grow_with_pages_not_with_products(archive: FaultyArchive) -> None:
    assert len(ids(source_of(filled(archive, 7)))) == 7
    assert len(archive.searches()) == 3
    assert [body.get("token") for body in archive.searches()] == [None, "2", "3"]


def test_a_search_asks_for_the_box_the_time_and_what_else_is_wanted(archive: FaultyArchive) -> None:
    filled(archive)
    list(
        source_of(archive, query={"eo:cloud_cover": 20}).search(
            SearchQuery(1.5, 0.25, 2.5, 0.75, "2023-06-01", "2023-06-30")
        )
    )
    (body,) = archive.searches()
    asked = shapely.from_geojson(json.dumps(body["intersects"]))
    assert asked.equals(shapely.box(1.5, 0.25, 2.5, 0.75))
    assert body["collections"] == ["scenes"]
    assert body["datetime"] == "2023-06-01T00:00:00.000Z/2023-06-30T23:59:59.999Z"
    assert body["query"] == {"eo:cloud_cover": {"lte": 20}}


def test_what_an_item_tells_is_in_the_product(archive: FaultyArchive) -> None:
    name = "S2B_MSIL2A_20230601T101031_N0509_R022_T32TPT_20230601T140000"
    properties = {
        "proj__code": "EPSG:32632",
        "proj__shape": [2, 2],
        "proj__transform": [10, 0, 600000, 0, -10, 5100000],
    }
    archive.add(
        name,
        (11, 45, 12, 46),
        {"B02.tif": b"blue", "SCL.tif": b"class"},
        cloud=3.25,
        license="CC-BY-SA-4.0",
        **properties,
    )
    (product,) = search_all(source_of(archive), EVERYWHERE, ONCE)
    assert product.crs == "EPSG:32632"
    assert shapely.from_wkb(product.outline).equals(shapely.box(600000, 5099980, 600020, 5100000))
    assert (product.cloud_cover, product.size, product.licence) == (3.25, 9, "CC-BY-SA-4.0")
    assert product.properties["datatake"] == "S2B_20230601T101031"
    assert sorted(product.files) == ["B02.tif", "SCL.tif"]
    assert product.files["SCL.tif"].size == 5


def test_a_licence_is_that_of_the_collection_unless_the_item_tells_one(archive: FaultyArchive) -> None:
    (product,) = search_all(source_of(filled(archive, 1)), EVERYWHERE, ONCE)
    assert product.licence == "CC-BY-4.0"


def test_a_product_without_a_geometry_is_where_its_box_is_or_nowhere(archive: FaultyArchive) -> None:
    for item in filled(archive, 2).items:
        item["geometry"] = None
    del archive.items[1]["bbox"]
    (product,) = search_all(source_of(archive), EVERYWHERE, ONCE)
    assert shapely.from_wkb(product.footprint).equals(shapely.box(0, 0, 1, 1))


def test_a_product_that_has_pixels_nowhere_is_left_out(archive: FaultyArchive) -> None:
    filled(archive, 2).items[0]["geometry"] = {"type": "Point", "coordinates": [0.5, 0.5]}
    assert ids(source_of(archive)) == ["scene-1"]


def test_of_bands_in_files_of_their_own_only_those_that_are_asked_for_count(archive: FaultyArchive) -> None:
    archive.add("scene", (0, 0, 1, 1), {"B02.tif": b"bb", "B03.tif": b"ccc", "SCL.tif": b"dddd"})
    source = source_of(archive)
    for bands, files in ((("b02", "SCL"), ["B02.tif", "SCL.tif"]), (("B02", "B99"), ["B02.tif", "B03.tif", "SCL.tif"])):
        source.bands = bands
        (product,) = search_all(source, EVERYWHERE, ONCE)
        assert sorted(product.files) == files


def test_assets_may_be_named_with_commas(archive: FaultyArchive) -> None:
    archive.add("scene", (0, 0, 1, 1), {"B02.tif": b"bb", "B03.tif": b"ccc", "SCL.tif": b"dddd"})
    (product,) = search_all(source_of(archive, assets="B02, SCL"), EVERYWHERE, ONCE)
    assert sorted(product.files) == ["B02.tif", "SCL.tif"]


@pytest.mark.parametrize("error", [socket.gaierror(-3, "try again"), OSError(errno.ENETUNREACH, "no network")])
def test_an_archive_that_nobody_can_reach_is_told_as_that(
    archive: FaultyArchive, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = EodagSource(provider="cop_dataspace", collection="S2_MSI_L2A")

    def unreachable(*_args: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    with pytest.raises(SourceError, match="the archive can't be reached") as raised:
        search_all(source, EVERYWHERE, ONCE)
    assert raised.value.retryable


def test_only_the_wanted_assets_count(archive: FaultyArchive) -> None:
    archive.add("scene", (0, 0, 1, 1), {"B02.tif": b"bb", "B03.tif": b"ccc", "thumb.png": b"dddd"})
    archive.items[0]["assets"]["thumb"]["roles"] = ["thumbnail"]
    sizes = {}
    for assets in (None, "B0.", ["B03"], ["thumb"]):
        (product,) = search_all(source_of(archive, assets=assets), EVERYWHERE, ONCE)
        sizes[str(assets)] = (product.size, sorted(product.files))
    assert sizes == {
        "None": (5, ["B02.tif", "B03.tif"]),
        "B0.": (5, ["B02.tif", "B03.tif"]),
        "['B03']": (3, ["B03.tif"]),
        "['thumb']": (4, ["thumb.png"]),
    }
    with pytest.raises(SourceError, match="has none of the assets that are wanted, but B02, B03, thumb"):
        search_all(source_of(archive, assets=["B99"]), EVERYWHERE, ONCE)


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
        Fault(200, only=40),
        Fault(None),
        Fault(None, reset=True),
    ],
    ids=lambda fault: f"{fault.status}-{(fault.body or b'')[:24].decode()}-{fault.only}-{fault.reset}",
)
def test_a_page_that_fails_is_never_the_end(archive: FaultyArchive, fault: Fault) -> None:
    filled(archive).always("page=2", fault)
    with pytest.raises(SourceError):
        ids(source_of(archive))


def test_a_page_that_fails_for_a_while_is_asked_for_again(archive: FaultyArchive, hasty: RetryPolicy) -> None:
    filled(archive).fail("page=2", Fault(503), Fault(None, reset=True))
    assert len(ids(source_of(archive), patience=hasty)) == 7


def test_a_page_that_comes_again_and_again_is_an_error(archive: FaultyArchive) -> None:
    filled(archive).next_token = lambda _number: "2"
    with pytest.raises(SourceError, match="was there before"):
        ids(source_of(archive))


def test_a_first_page_that_comes_again_is_an_error(archive: FaultyArchive) -> None:
    filled(archive)
    archive.always("page=2", Fault(200, body=json.dumps(archive.answer({"limit": 3})[1]).encode()))
    with pytest.raises(SourceError, match="page 2 is one that was there before"):
        ids(source_of(archive))


def test_fewer_products_than_the_archive_has_are_an_error(archive: FaultyArchive) -> None:
    filled(archive).matched = 9
    with pytest.raises(SourceError, match="the archive has 9 products but gave only 7"):
        ids(source_of(archive))


def test_an_archive_may_give_shorter_pages_than_were_asked_for(archive: FaultyArchive) -> None:
    filled(archive).most = 2
    assert len(ids(source_of(archive, page_size=100))) == 7


def test_an_end_that_is_a_full_page_is_an_end(archive: FaultyArchive) -> None:
    assert len(ids(source_of(filled(archive, 6)))) == 6
    assert len(archive.searches()) == 2


def test_a_product_that_moves_to_the_next_page_is_given_once(archive: FaultyArchive) -> None:
    filled(archive)
    shifted = archive.answer({"limit": 3, "token": "2"})[1]
    shifted["features"][0] = archive.items[2]
    archive.fail("page=2", Fault(200, body=json.dumps(shifted).encode()))
    found = [product.product_id for page in source_of(archive).search(EVERYWHERE) for product in page]
    assert len(found) == len(set(found)) == 6


@pytest.mark.parametrize("name", ["next", "page", "cursor"])
def test_the_next_page_is_found_by_many_names(archive: FaultyArchive, name: str) -> None:
    filled(archive).page_by = name
    assert len(ids(source_of(archive))) == 7


def test_a_next_page_that_can_not_be_asked_for_is_an_error_unless_its_name_is_told(archive: FaultyArchive) -> None:
    filled(archive).page_by = "weiter"
    with pytest.raises(SourceError, match="next_page_token_key"):
        ids(source_of(archive))
    assert len(ids(source_of(archive, next_page_token_key="weiter"))) == 7


@pytest.mark.parametrize("status", [429, 503])
def test_what_the_archive_asks_to_wait_is_told(archive: FaultyArchive, status: int) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    filled(archive).fail("/search", Fault(status, {"Retry-After": "7"}), Fault(status, {"Retry-After": later}))
    waits = []
    for _ in range(2):
        with pytest.raises(SourceError, match=str(status)) as raised:
            list(source_of(archive).search(EVERYWHERE))
        assert raised.value.retryable
        waits.append(raised.value.retry_after)
    assert waits[0] == 7
    assert 590 < waits[1] <= 600
    assert len(archive.searches()) == 2


def test_a_search_that_is_refused_is_not_tried_again(archive: FaultyArchive, hasty: RetryPolicy) -> None:
    complaint = b'{"description": "no such parameter"}'
    filled(archive).always("/search", Fault(400, {"Content-Type": "application/json"}, complaint))
    with pytest.raises(SourceError, match="no such parameter"):
        ids(source_of(archive), patience=hasty)
    assert len(archive.searches()) == 1


@pytest.mark.parametrize(
    ("provider", "collection", "message"),
    [
        ("earth_serch", "S2_MSI_L2A", "no provider 'earth_serch' is known to eodag; there is 'earth_search'"),
        ("earth_search", "S2_MSI_L2B", "no collection 'S2_MSI_L2B' of provider 'earth_search'.*'S2_MSI_L2A_COG'"),
        (None, "S2_MSI_2A", "no collection 'S2_MSI_2A' is known to eodag.*'S2_MSI_L2A"),
        ("dedl", "S2_MSI_L2A", "provider 'dedl' can't be searched without logging in: put the credentials for 'dedl'"),
    ],
)
def test_what_eodag_does_not_know_is_named_with_what_is_alike(
    provider: str | None, collection: str, message: str
) -> None:
    with pytest.raises(GeographerError, match=message):
        EodagSource(provider=provider, collection=collection)


def test_the_provider_that_eodag_prefers_is_recorded() -> None:
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
def test_options_that_can_not_be_used_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError) as raised:
        EodagSource(provider="earth_search", collection="S2_MSI_L2A", **options)
    assert "geheim" not in str(raised.value)


def test_a_collection_is_needed() -> None:
    with pytest.raises(UsageError, match="pass its name"):
        EodagSource(provider="earth_search", collection=None)


def test_a_url_needs_a_name_of_its_own(archive: FaultyArchive) -> None:
    with pytest.raises(UsageError, match="needs a name to record"):
        EodagSource(provider=None, collection="scenes", url=archive.url)
    with pytest.raises(UsageError, match="is one that eodag knows"):
        EodagSource(provider="earth_search", collection="scenes", url=archive.url)


def test_a_list_of_allowed_providers_does_not_shut_out_a_stac_api(
    archive: FaultyArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EODAG_PROVIDERS_WHITELIST", '["earth_search"]')
    assert len(ids(source_of(filled(archive)))) == 7


def test_a_collection_that_eodag_does_not_list_is_taken_when_it_is_said_to_be_the_archives_own() -> None:
    source = EodagSource(provider="earth_search", collection="cop-dem-glo-30", generic=True)
    assert (source.provider, source.collection) == ("earth_search", "cop-dem-glo-30")


def test_a_point_is_asked_for_as_a_tiny_box(archive: FaultyArchive) -> None:
    assert ids(source_of(filled(archive)), SearchQuery(1.5, 0.5, 1.5, 0.5)) == ["scene-1"]
    (body,) = archive.searches()
    asked = shapely.from_geojson(json.dumps(body["intersects"]))
    assert asked.is_valid
    assert 0 < asked.area < 1e-12


def test_an_archive_that_does_not_answer_is_given_up(archive: FaultyArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eodag.plugins.search.qssearch.DEFAULT_SEARCH_TIMEOUT", 0.2)
    filled(archive).always("/search", Fault(pause=1.0))
    with pytest.raises(SourceError, match="did not answer in time") as raised:
        ids(source_of(archive))
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
    """An archive whose pages are asked for by number, as the person's own configuration has it."""
    (tmp_path / "eodag.yml").write_text(NUMBERED.format(url=archive.url))
    monkeypatch.setenv("EODAG_CFG_FILE", str(tmp_path / "eodag.yml"))
    archive.page_by = "page"
    return archive


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (2, 1), (3, 2), (7, 3)])
def test_pages_by_number_end_with_one_that_is_not_full(numbered: FaultyArchive, count: int, requests: int) -> None:
    filled(numbered, count)
    assert len(ids(EodagSource(provider="numbered", collection="scenes"))) == count
    assert len(numbered.searches()) == requests


def test_pages_by_number_that_are_shorter_than_the_archive_says_are_an_error(numbered: FaultyArchive) -> None:
    filled(numbered, 7).most = 2
    numbered.matched = 7
    with pytest.raises(SourceError, match="has 7 products but gave only 2"):
        ids(EodagSource(provider="numbered", collection="scenes"))


def test_an_archive_that_gives_the_same_page_for_every_number_is_an_error(numbered: FaultyArchive) -> None:
    page = json.dumps(filled(numbered, 3).answer({"limit": 3})[1]).encode()
    numbered.always("/search", Fault(200, body=page))
    with pytest.raises(SourceError, match="was there before"):
        ids(EodagSource(provider="numbered", collection="scenes"))


def test_the_archives_own_collection_is_searched_when_eodag_does_not_list_it(numbered: FaultyArchive) -> None:
    numbered.add("other", (0, 0, 1, 1), {"B02.tif": b"x"}, collection="unlisted")
    source = EodagSource(provider="numbered", collection="unlisted", generic=True)
    (product,) = search_all(source, EVERYWHERE, ONCE)
    assert (product.product_id, product.collection) == ("other", "unlisted")


def odata(archive: FaultyArchive, count: int) -> Callable[[dict[str, str]], bytes]:
    """The catalogue of the Copernicus Data Space, with `count` products."""

    def page(query: dict[str, str]) -> bytes:
        start, most = int(query["$skip"]), min(int(query["$top"]), 2)
        found = [odata_product(number) for number in range(count)][start : start + most]
        answer: dict[str, Any] = {"value": found, "@odata.count": count}
        if start + most < count:
            answer["@odata.nextLink"] = f"{archive.url}/files/odata?%24top={most}&%24skip={start + most}"
        return json.dumps(answer).encode()

    return page


def odata_product(number: int) -> dict[str, Any]:
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
    """The provider as eodag has it, but on loopback."""
    monkeypatch.setenv("EODAG__COP_DATASPACE__SEARCH__API_ENDPOINT", f"{archive.url}/files/odata")
    archive.files["odata"] = odata(archive, 5)
    return archive


def test_the_copernicus_data_space_is_searched_to_the_end(copernicus: FaultyArchive) -> None:
    found = search_all(EodagSource(provider=None, collection="S2_MSI_L2A"), EVERYWHERE, ONCE)
    assert len(found) == 5
    assert len(copernicus.log) == 3
    first = found[0]
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


def test_fewer_than_the_copernicus_data_space_counts_are_an_error(copernicus: FaultyArchive) -> None:
    page = json.loads(odata(copernicus, 5)({"$skip": "4", "$top": "2"}))
    page["@odata.count"] = 7
    copernicus.files["odata"] = lambda _query: json.dumps(page).encode()
    with pytest.raises(SourceError, match="has 7 products but gave only 1"):
        ids(EodagSource(provider="cop_dataspace", collection="S2_MSI_L2A"))


def test_a_page_of_the_copernicus_data_space_that_fails_is_never_the_end(copernicus: FaultyArchive) -> None:
    copernicus.fail("odata", Fault(200), Fault(503, {"Retry-After": "3"}))
    with pytest.raises(SourceError) as raised:
        ids(EodagSource(provider="cop_dataspace", collection="S2_MSI_L2A"))
    assert (raised.value.retryable, raised.value.retry_after, len(copernicus.log)) == (True, 3, 2)


def test_not_one_request_leaves_loopback(
    numbered: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(numbered)
    hosts: set[str] = set()
    resolve = socket.getaddrinfo

    def watched(host: Any, *args: Any, **more: Any) -> Any:
        hosts.add(str(host))
        return resolve(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    for options in ({}, {"generic": True}):
        source = EodagSource(provider="numbered", collection="scenes", **options)
        list(fetch_all(source, search_all(source, EVERYWHERE, ONCE), tmp_path / "downloads", patience=ONCE))
    for provider, collection in (("earth_search", "S2_MSI_L1C"), (None, "S2_MSI_L2A"), (None, "no-such-thing")):
        with contextlib.suppress(NotFoundError):
            EodagSource(provider=provider, collection=collection)
    assert hosts == {"127.0.0.1"}


def test_nothing_is_written_at_home_and_nothing_is_said(archive: FaultyArchive, tmp_path: Path) -> None:
    filled(archive).always("page=2", Fault(500))
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "from geographer.archives.eodag import EodagSource\n"
        "from geographer.archives.base import Query, SourceError\n"
        f"source = EodagSource(provider='loopback', collection='scenes', url='{archive.url}', page_size=3)\n"
        "try:\n    list(source.search(Query(-180, -90, 180, 90)))\nexcept SourceError:\n    print('failed')\n"
    )
    home.chmod(0o500)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env={"HOME": str(home), "PATH": ""},
        cwd=REPOSITORY,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "failed\n", "")
    assert list(home.iterdir()) == []


def test_eodag_is_imported_only_when_it_is_used() -> None:
    script = "import sys, geographer.archives.eodag; sys.exit('eodag' in sys.modules or 'requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=False).returncode == 0


def test_a_provider_of_ones_own_may_take_any_collection(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "eodag.yml"
    nothing = {"fetch_url": None, "collection_fetch_url": None}
    search = {"type": "StacSearch", "api_endpoint": f"{archive.url}/search", "need_auth": False}
    search |= {"discover_queryables": nothing, "discover_collections": {"fetch_url": None}}
    mine = {"priority": 1, "search": search, "download": {"type": "HTTPDownload", "extract": True}}
    config.write_text(
        json.dumps({"mine": {**mine, "products": {"GENERIC_COLLECTION": {"_collection": "{collection}"}}}})
    )
    monkeypatch.setenv("EODAG_CFG_FILE", str(config))
    filled(archive, 2)

    assert ids(EodagSource(provider="mine", collection="scenes")) == ["scene-0", "scene-1"]
