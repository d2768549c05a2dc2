from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import shapely

from geographer.archives.alos import AlosWorld3d
from geographer.archives.base import SearchQuery
from geographer.archives.download_pool import FailedDownload, FetchedProduct, fetch_products
from geographer.base.errors import NotFoundError, SourceError, UsageError
from geographer.base.retry import RetryPolicy
from tests.stac_servers import Fault, FaultyArchive, search_products, serve_files, serve_ftp

ONCE = RetryPolicy(max_attempts=1)
AROUND_THE_CORNER = SearchQuery(4.5, 44.5, 6.5, 45.5)
"""A box around the common corner of four blocks of five degrees."""


def make_tile_zip(name: str) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            # `ZipInfo` has a fixed time, so the bytes are the same whenever they are made.
            archive.writestr(zipfile.ZipInfo(f"{name}/ALPSMLC30_{name}_DSM.tif"), b"heights of " + name.encode())
        return file.getvalue()


@pytest.fixture
def tile_folder(tmp_path: Path) -> Path:
    """Create an archive of five tiles, four of them around the corner of their blocks, and another file."""
    for path in (
        "N040E000/N044E004",
        "N040E005/N044E005",
        "N040E005/N044E006",
        "N045E005/N045E006",
        "S005W180/S001W180",
    ):
        zip_path = tmp_path / "release_v2404" / f"{path}.zip"
        zip_path.parent.mkdir(parents=True, exist_ok=True)
        zip_path.write_bytes(make_tile_zip(zip_path.stem))
    (tmp_path / "release_v2404" / "N040E005" / "readme.txt").write_text("about")
    return tmp_path


@pytest.fixture(params=["http", "ftp"])
def release_url(request: pytest.FixtureRequest, tile_folder: Path) -> Iterator[str]:
    """Serve the archive over HTTP and over FTP."""
    with serve_files(tile_folder) if request.param == "http" else serve_ftp(tile_folder) as release_url:
        yield f"{release_url}/release_v2404"


def search_ids(source: AlosWorld3d, query: SearchQuery) -> list[str]:
    return [product.product_id for product in search_products(source, query, ONCE)]


def test_search_finds_existing_tiles(release_url: str) -> None:
    products = search_products(AlosWorld3d(url=release_url), AROUND_THE_CORNER, ONCE)
    names = ["N044E004", "N044E005", "N044E006", "N045E006"]
    assert [product.product_id for product in products] == [f"ALPSMLC30_{name}" for name in names]
    first = products[0]
    assert (first.provider, first.collection, first.crs) == ("jaxa", "AW3D30", "EPSG:4326")
    assert shapely.from_wkb(first.footprint).equals(shapely.box(4, 44, 5, 45))
    assert first.outline == first.footprint
    assert first.properties == {"platform": "alos", "tile": "N044E004", "processing_baseline": "v2404"}


def test_search_names_southwestern_tiles(release_url: str) -> None:
    assert search_ids(AlosWorld3d(url=release_url), SearchQuery(-180, -0.5, -179.5, 0.5)) == ["ALPSMLC30_S001W180"]


def test_search_of_point_finds_one_tile(release_url: str) -> None:
    assert search_ids(AlosWorld3d(url=release_url), SearchQuery(5, 44, 5, 44)) == ["ALPSMLC30_N044E005"]


def test_search_over_sea_is_empty(release_url: str) -> None:
    assert list(AlosWorld3d(url=release_url).search(SearchQuery(-30, 0, -29, 1))) == [[]]


def test_fetch_keeps_tile_archives(release_url: str, tmp_path: Path) -> None:
    source = AlosWorld3d(url=release_url)
    products = search_products(source, AROUND_THE_CORNER, ONCE)
    progress_calls: list[tuple[str, int, int]] = []
    outcomes = list(
        fetch_products(
            source,
            products,
            tmp_path / "downloads",
            retry_policy=ONCE,
            on_progress=lambda *call: progress_calls.append(call),
        )
    )
    assert all(isinstance(outcome, FetchedProduct) for outcome in outcomes)
    contents = {path.name: path.read_bytes() for path in (tmp_path / "downloads").rglob("*.zip")}
    assert contents == {f"{name}.zip": make_tile_zip(name) for name in ("N044E004", "N044E005", "N044E006", "N045E006")}
    assert progress_calls[-1] == ("products, 0.0 MB", 4, 4)


def test_fetch_reports_all_bytes(release_url: str, tmp_path: Path) -> None:
    source = AlosWorld3d(url=release_url)
    reported_bytes: list[int] = []
    (tmp_path / "fetched").mkdir()
    source.fetch(search_products(source, AROUND_THE_CORNER, ONCE)[0], tmp_path / "fetched", reported_bytes.append)
    assert [reported_bytes[-1]] == [path.stat().st_size for path in (tmp_path / "fetched").iterdir()]


def test_fetch_of_deleted_tile_fails(release_url: str, tile_folder: Path, tmp_path: Path) -> None:
    source = AlosWorld3d(url=release_url)
    products = search_products(source, SearchQuery(5, 44, 5, 44), ONCE)
    (tile_folder / "release_v2404" / "N040E005" / "N044E005.zip").unlink()
    (failed,) = fetch_products(source, products, tmp_path / "downloads")
    assert isinstance(failed, FailedDownload)
    assert "does not exist" in failed.reason


def test_search_lists_each_block_once(archive: FaultyArchive) -> None:
    names = [f"N0{north}E00{east}" for north in range(45, 50) for east in range(5, 10)]
    page = "".join(f'<a href="{name}.zip">{name}</a>' for name in names).encode()
    archive.files["N045E005/"] = page
    assert len(search_ids(AlosWorld3d(url=f"{archive.url}/files"), SearchQuery(5.1, 45.1, 9.9, 49.9))) == 25
    assert [(outcome.method, outcome.path) for outcome in archive.requests] == [("GET", "/files/N045E005/")]


@pytest.mark.parametrize("fault", [Fault(404), Fault(403), Fault(200, body=b"<h1>Welcome</h1>")], ids=str)
def test_search_without_listing_checks_each_tile(archive: FaultyArchive, fault: Fault) -> None:
    archive.files["N045E005/N045E006.zip"] = make_tile_zip("N045E006")
    archive.set_fault("N045E005/", fault)
    (product,) = search_products(AlosWorld3d(url=f"{archive.url}/files"), SearchQuery(5.5, 45.5, 7.5, 46.5), ONCE)
    assert (product.product_id, product.size) == ("ALPSMLC30_N045E006", len(make_tile_zip("N045E006")))
    assert sum(outcome.method == "HEAD" for outcome in archive.requests) == 6


@pytest.mark.parametrize("fault", [Fault(500), Fault(429, {"Retry-After": "9"}), Fault(None, is_reset=True)], ids=str)
def test_search_raises_on_server_error(archive: FaultyArchive, fault: Fault) -> None:
    archive.set_fault("N045E005/", fault)
    with pytest.raises(SourceError) as raised:
        search_ids(AlosWorld3d(url=f"{archive.url}/files"), SearchQuery(5.5, 45.5, 5.6, 45.6))
    assert raised.value.retryable


@pytest.mark.parametrize(
    ("fault", "is_retryable"),
    [
        (Fault(max_bytes=50), True),
        (Fault(None), True),
        (Fault(503, {"Retry-After": "5"}), True),
        (Fault(401), False),
        (Fault(200, {"Content-Type": "text/html"}, b"<html>log in</html>"), False),
    ],
    ids=["truncated", "closed", "busy", "refused", "page"],
)
def test_fetch_rejects_partial_and_html_responses(
    archive: FaultyArchive, tmp_path: Path, fault: Fault, is_retryable: bool
) -> None:
    archive.files["N045E005/N045E005.zip"] = make_tile_zip("N045E005")
    source = AlosWorld3d(url=f"{archive.url}/files")
    (product,) = search_products(source, SearchQuery(5.5, 45.5, 5.6, 45.6), ONCE)
    archive.set_fault("N045E005/N045E005.zip", fault)
    with pytest.raises(SourceError) as raised:
        source.fetch(product, tmp_path, lambda _arrived: None)
    assert raised.value.retryable == is_retryable
    assert ("netrc" in str(raised.value)) != is_retryable


def test_netrc_credentials_stay_secret(archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password Geheimnis\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    archive.files["N045E005/N045E005.zip"] = make_tile_zip("N045E005")
    source = AlosWorld3d(url=f"{archive.url}/files")
    (product,) = search_products(source, SearchQuery(5.5, 45.5, 5.6, 45.6), ONCE)
    assert archive.requests[-1].headers["Authorization"].startswith("Basic ")
    archive.set_fault("N045E005/N045E005.zip", Fault(403))
    with pytest.raises(SourceError) as raised:
        source.fetch(product, tmp_path, lambda _arrived: None)
    assert "Geheimnis" not in str(raised.value) + repr(product)


def test_layout_of_older_releases(tile_folder: Path) -> None:
    (tile_folder / "N044E004.tar.gz").write_bytes(b"\x1f\x8b")
    with serve_ftp(tile_folder) as release_url:
        assert search_ids(AlosWorld3d(url=release_url, layout="{tile}.tar.gz"), AROUND_THE_CORNER) == [
            "ALPSMLC30_N044E004"
        ]


def test_ftp_fetch_rejects_partial_file(tile_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with serve_ftp(tile_folder, n_missing_bytes=10) as release_url:
        source = AlosWorld3d(url=f"{release_url}/release_v2404")
        (product,) = search_products(source, SearchQuery(5, 44, 5, 44), ONCE)
        with pytest.raises(SourceError, match="bytes arrived") as raised:
            source.fetch(product, tmp_path / "here", lambda _arrived: None)
    assert raised.value.retryable


def test_unreachable_ftp_server_is_retryable(tmp_path: Path) -> None:
    with serve_ftp(tmp_path) as release_url:
        pass
    with pytest.raises(SourceError) as raised:
        search_ids(AlosWorld3d(url=release_url), AROUND_THE_CORNER)
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
def test_source_rejects_invalid_options(options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        AlosWorld3d(**options)
    assert "geheim" not in str(raised.value)


def test_source_rejects_other_collections() -> None:
    with pytest.raises(NotFoundError, match="this archive has only AW3D30"):
        AlosWorld3d(collection="AW3D")
