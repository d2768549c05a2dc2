from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import shapely

from geographer.archives.alos import AlosWorld3d
from geographer.archives.base import SearchQuery, SourceError
from geographer.archives.download_pool import Failed, Fetched, fetch_all
from geographer.base.errors import NotFoundError, UsageError
from geographer.base.retry import RetryPolicy
from tests.stac_servers import Fault, FaultyArchive, file_server, ftp_server, search_all

ONCE = RetryPolicy(tries=1)
AROUND_THE_CORNER = SearchQuery(4.5, 44.5, 6.5, 45.5)
"""Over the corner of four blocks of five degrees."""


def tile(name: str) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(f"{name}/ALPSMLC30_{name}_DSM.tif", b"heights of " + name.encode())
        return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive of five tiles, of which four lie around the corner of their blocks; and its other files."""
    for path in (
        "N040E000/N044E004",
        "N040E005/N044E005",
        "N040E005/N044E006",
        "N045E005/N045E006",
        "S005W180/S001W180",
    ):
        place = tmp_path / "release_v2404" / f"{path}.zip"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(tile(place.stem))
    (tmp_path / "release_v2404" / "N040E005" / "readme.txt").write_text("about")
    return tmp_path


@pytest.fixture(params=["http", "ftp"])
def url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The same archive over both."""
    with file_server(folder) if request.param == "http" else ftp_server(folder) as url:
        yield f"{url}/release_v2404"


def ids(source: AlosWorld3d, query: SearchQuery) -> list[str]:
    return [product.product_id for product in search_all(source, query, ONCE)]


def test_the_tiles_that_a_box_meets_and_that_are_there_are_found(url: str) -> None:
    found = search_all(AlosWorld3d(url=url), AROUND_THE_CORNER, ONCE)
    names = ["N044E004", "N044E005", "N044E006", "N045E006"]
    assert [product.product_id for product in found] == [f"ALPSMLC30_{name}" for name in names]
    first = found[0]
    assert (first.provider, first.collection, first.crs) == ("jaxa", "AW3D30", "EPSG:4326")
    assert shapely.from_wkb(first.footprint).equals(shapely.box(4, 44, 5, 45))
    assert first.outline == first.footprint
    assert first.properties == {"platform": "alos", "tile": "N044E004", "processing_baseline": "v2404"}


def test_tiles_west_and_south_are_named_by_their_corner(url: str) -> None:
    assert ids(AlosWorld3d(url=url), SearchQuery(-180, -0.5, -179.5, 0.5)) == ["ALPSMLC30_S001W180"]


def test_a_point_is_in_one_tile(url: str) -> None:
    assert ids(AlosWorld3d(url=url), SearchQuery(5, 44, 5, 44)) == ["ALPSMLC30_N044E005"]


def test_where_there_is_only_sea_there_is_nothing(url: str) -> None:
    assert list(AlosWorld3d(url=url).search(SearchQuery(-30, 0, -29, 1))) == [[]]


def test_tiles_arrive_as_the_archives_that_they_are(url: str, tmp_path: Path) -> None:
    source = AlosWorld3d(url=url)
    products = search_all(source, AROUND_THE_CORNER, ONCE)
    told: list[tuple[int, int, int]] = []
    outcomes = list(
        fetch_all(source, products, tmp_path / "downloads", patience=ONCE, told=lambda *now: told.append(now))
    )
    assert all(isinstance(one, Fetched) for one in outcomes)
    contents = {path.name: path.read_bytes() for path in (tmp_path / "downloads").rglob("*.zip")}
    assert contents == {f"{name}.zip": tile(name) for name in ("N044E004", "N044E005", "N044E006", "N045E006")}
    assert told[-1] == (4, 4, sum(map(len, contents.values())))


def test_a_tile_that_is_gone_since_the_search_fails_for_good(url: str, folder: Path, tmp_path: Path) -> None:
    source = AlosWorld3d(url=url)
    products = search_all(source, SearchQuery(5, 44, 5, 44), ONCE)
    (folder / "release_v2404" / "N040E005" / "N044E005.zip").unlink()
    (failed,) = fetch_all(source, products, tmp_path / "downloads")
    assert isinstance(failed, Failed)
    assert "is not there" in failed.reason


def test_requests_grow_with_blocks_not_with_tiles(archive: FaultyArchive) -> None:
    names = [f"N0{north}E00{east}" for north in range(45, 50) for east in range(5, 10)]
    page = "".join(f'<a href="{name}.zip">{name}</a>' for name in names).encode()
    archive.files["N045E005/"] = page
    assert len(ids(AlosWorld3d(url=f"{archive.url}/files"), SearchQuery(5.1, 45.1, 9.9, 49.9))) == 25
    assert [(one.method, one.path) for one in archive.log] == [("GET", "/files/N045E005/")]


@pytest.mark.parametrize("fault", [Fault(404), Fault(403), Fault(200, body=b"<h1>Welcome</h1>")], ids=str)
def test_where_no_folder_is_listed_every_tile_is_asked_for(archive: FaultyArchive, fault: Fault) -> None:
    archive.files["N045E005/N045E006.zip"] = tile("N045E006")
    archive.always("N045E005/", fault)
    (product,) = search_all(AlosWorld3d(url=f"{archive.url}/files"), SearchQuery(5.5, 45.5, 7.5, 46.5), ONCE)
    assert (product.product_id, product.size) == ("ALPSMLC30_N045E006", len(tile("N045E006")))
    assert sum(one.method == "HEAD" for one in archive.log) == 6


@pytest.mark.parametrize("fault", [Fault(500), Fault(429, {"Retry-After": "9"}), Fault(None, reset=True)], ids=str)
def test_no_answer_is_not_no_tile(archive: FaultyArchive, fault: Fault) -> None:
    archive.always("N045E005/", fault)
    with pytest.raises(SourceError) as raised:
        ids(AlosWorld3d(url=f"{archive.url}/files"), SearchQuery(5.5, 45.5, 5.6, 45.6))
    assert raised.value.retryable


@pytest.mark.parametrize(
    ("fault", "passing"),
    [
        (Fault(only=50), True),
        (Fault(None), True),
        (Fault(503, {"Retry-After": "5"}), True),
        (Fault(401), False),
        (Fault(200, {"Content-Type": "text/html"}, b"<html>log in</html>"), False),
    ],
    ids=["truncated", "closed", "busy", "refused", "page"],
)
def test_half_a_tile_and_pages_are_no_tiles(
    archive: FaultyArchive, tmp_path: Path, fault: Fault, passing: bool
) -> None:
    archive.files["N045E005/N045E005.zip"] = tile("N045E005")
    source = AlosWorld3d(url=f"{archive.url}/files")
    (product,) = search_all(source, SearchQuery(5.5, 45.5, 5.6, 45.6), ONCE)
    archive.always("N045E005/N045E005.zip", fault)
    with pytest.raises(SourceError) as raised:
        source.fetch(product, tmp_path, lambda _arrived: None)
    assert raised.value.retryable == passing
    assert ("netrc" in str(raised.value)) != passing


def test_user_and_password_come_from_netrc_and_are_never_told(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password Geheimnis\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    archive.files["N045E005/N045E005.zip"] = tile("N045E005")
    source = AlosWorld3d(url=f"{archive.url}/files")
    (product,) = search_all(source, SearchQuery(5.5, 45.5, 5.6, 45.6), ONCE)
    assert archive.log[-1].headers["Authorization"].startswith("Basic ")
    archive.always("N045E005/N045E005.zip", Fault(403))
    with pytest.raises(SourceError) as raised:
        source.fetch(product, tmp_path, lambda _arrived: None)
    assert "Geheimnis" not in str(raised.value) + repr(product)


def test_earlier_releases_have_tarballs(folder: Path) -> None:
    (folder / "N044E004.tar.gz").write_bytes(b"\x1f\x8b")
    with ftp_server(folder) as url:
        assert ids(AlosWorld3d(url=url, layout="{tile}.tar.gz"), AROUND_THE_CORNER) == ["ALPSMLC30_N044E004"]


def test_half_a_tile_over_ftp_is_no_tile(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with ftp_server(folder, missing=10) as url:
        source = AlosWorld3d(url=f"{url}/release_v2404")
        (product,) = search_all(source, SearchQuery(5, 44, 5, 44), ONCE)
        with pytest.raises(SourceError, match="bytes arrived") as raised:
            source.fetch(product, tmp_path / "here", lambda _arrived: None)
    assert raised.value.retryable


def test_an_ftp_server_that_is_not_there_is_trouble_that_passes(tmp_path: Path) -> None:
    with ftp_server(tmp_path) as url:
        pass
    with pytest.raises(SourceError) as raised:
        ids(AlosWorld3d(url=url), AROUND_THE_CORNER)
    assert raised.value.retryable


@pytest.mark.parametrize(
    "options",
    [
        {"url": "file:///etc"},
        {"url": "http://ada:geheim@127.0.0.1/"},
        {"layout": "no-tile.zip"},
        {"layout": "../{tile}.zip"},
        {"layout": "{other}/{tile}"},
        {"colour": "red"},
    ],
)
def test_options_that_can_not_be_used_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        AlosWorld3d(**options)
    assert "geheim" not in str(raised.value)


def test_there_is_one_collection() -> None:
    with pytest.raises(NotFoundError, match="there is AW3D30"):
        AlosWorld3d(collection="AW3D")
