from __future__ import annotations

import errno
import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from geographer.archives.base import Product, SearchQuery
from geographer.archives.download_pool import FailedDownload, FetchedProduct, fetch_products
from geographer.archives.eodag import EodagSource
from geographer.base.errors import OrderRequiredError, SourceError
from geographer.base.retry import RetryPolicy
from tests.archives.cached_downloads import list_downloads
from tests.stac_servers import (
    Fault,
    FaultyArchive,
    make_asset,
    make_stac_item,
    search_products,
    serve_files,
    serve_stac,
)

pytestmark = pytest.mark.usefixtures("loopback_provider")
EVERYWHERE = SearchQuery(-180, -90, 180, 90)
ONCE = RetryPolicy(max_attempts=1)
BLUE, CLASSES = b"II*\0" + bytes(range(256)) * 400, b"classes" * 100


def make_source(_archive: FaultyArchive, **options: object) -> EodagSource:
    return EodagSource(provider="loopback", collection="scenes", **options)


def search_archive(archive: FaultyArchive, **options: object) -> tuple[EodagSource, list[Product]]:
    source = make_source(archive, **options)
    return source, search_products(source, EVERYWHERE, ONCE)


@pytest.fixture
def archive_with_scene(archive: FaultyArchive) -> FaultyArchive:
    archive.add_item("scene", (0, 0, 1, 1), {"B02.tif": BLUE, "SCL.tif": CLASSES})
    return archive


def fetch_all(
    archive: FaultyArchive, folder: Path, retry_policy: RetryPolicy = ONCE, **options: object
) -> list[FetchedProduct | FailedDownload]:
    source, products = search_archive(archive, **options)
    return list(fetch_products(source, products, folder, retry_policy=retry_policy))


def fetch_error(archive: FaultyArchive, folder: Path) -> SourceError:
    """Return the error of one attempt to fetch the first product."""
    source, products = search_archive(archive)
    folder.mkdir()
    with pytest.raises(SourceError) as raised:
        source.fetch(products[0], folder, lambda _arrived: None)
    assert list(folder.iterdir()) == [] or all(path.is_file() for path in folder.iterdir())
    return raised.value


def test_assets_are_named_after_keys(tmp_path: Path) -> None:
    (tmp_path / "assets" / "R10m").mkdir(parents=True)
    (tmp_path / "assets" / "R20m").mkdir()
    (tmp_path / "assets" / "R10m" / "T32TPT_B02_10m.tif").write_bytes(BLUE)
    (tmp_path / "assets" / "R20m" / "T32TPT_B02_10m.tif").write_bytes(CLASSES)
    with serve_files(tmp_path / "assets") as files:
        assets = {
            "B02": make_asset(f"{files}/R10m/T32TPT_B02_10m.tif", BLUE),
            "scl": make_asset(f"{files}/R20m/T32TPT_B02_10m.tif", CLASSES),
        }
        with serve_stac([make_stac_item("scene", (0, 0, 1, 1), assets)], tmp_path) as url:
            source = EodagSource(provider="rustac", collection="scenes", url=url)
            (outcome,) = fetch_products(source, search_products(source, EVERYWHERE), tmp_path / "downloads")
    assert isinstance(outcome, FetchedProduct)
    assert {path.name: path.read_bytes() for path in outcome.folder.iterdir()} == {"B02.tif": BLUE, "scl.tif": CLASSES}


def test_only_selected_assets_are_requested(archive_with_scene: FaultyArchive, tmp_path: Path) -> None:
    (outcome,) = fetch_all(archive_with_scene, tmp_path, assets=["SCL"])
    assert isinstance(outcome, FetchedProduct)
    assert list(outcome.files) == ["SCL.tif"]
    assert [request.path for request in archive_with_scene.requests if request.path.startswith("/files/")] == [
        "/files/scene/SCL.tif"
    ]


def test_unknown_size_needs_no_extra_request(archive_with_scene: FaultyArchive, tmp_path: Path) -> None:
    for asset in archive_with_scene.items[0]["assets"].values():
        del asset["file:size"], asset["file:checksum"]
    source, (product,) = search_archive(archive_with_scene, assets=["SCL"])
    assert (product.size, product.files["SCL.tif"].size) == (None, None)
    archive_with_scene.requests.clear()
    (outcome,) = fetch_products(source, [product], tmp_path, retry_policy=ONCE)
    assert isinstance(outcome, FetchedProduct)
    assert [request.method for request in archive_with_scene.requests] == ["GET"]


def test_product_without_link_fails(archive: FaultyArchive, tmp_path: Path) -> None:
    archive.items.append(make_stac_item("bare", (0, 0, 1, 1), {}))
    (failed,) = fetch_all(archive, tmp_path)
    assert isinstance(failed, FailedDownload)
    assert "has no download link" in failed.reason


def test_other_assets_are_another_download(archive_with_scene: FaultyArchive, tmp_path: Path) -> None:
    fetch_all(archive_with_scene, tmp_path, assets=["SCL"])
    (outcome,) = fetch_all(archive_with_scene, tmp_path)
    assert isinstance(outcome, FetchedProduct)
    assert (list(outcome.files), outcome.from_cache) == (["B02.tif", "SCL.tif"], False)


def test_fetch_reports_bytes(archive_with_scene: FaultyArchive, tmp_path: Path) -> None:
    source, products = search_archive(archive_with_scene)
    (tmp_path / "here").mkdir()
    byte_counts: list[int] = []
    source.fetch(products[0], tmp_path / "here", byte_counts.append)
    assert byte_counts == sorted(byte_counts)
    assert byte_counts[-1] == len(BLUE) + len(CLASSES)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_temporary_statuses_are_retryable(archive_with_scene: FaultyArchive, tmp_path: Path, status: int) -> None:
    archive_with_scene.set_fault("scene/B02.tif", Fault(status, {"Retry-After": "11"}))
    error = fetch_error(archive_with_scene, tmp_path / "here")
    assert (error.retryable, error.retry_after) == (True, 11)
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_permanent_statuses_are_not_retryable(archive_with_scene: FaultyArchive, tmp_path: Path, status: int) -> None:
    archive_with_scene.set_fault("scene/B02.tif", Fault(status))
    error = fetch_error(archive_with_scene, tmp_path / "here")
    assert not error.retryable
    assert not isinstance(error, OrderRequiredError)
    assert ("eodag's configuration" in str(error)) == (status in {401, 403})
    assert archive_with_scene.count_requests("/files/scene/B02.tif") == 1


@pytest.mark.parametrize(
    "fault",
    [Fault(None), Fault(None, is_reset=True), Fault(max_bytes=1000), Fault(max_bytes=0)],
    ids=["closed", "reset", "truncated", "nothing"],
)
def test_broken_connections_are_retryable(archive_with_scene: FaultyArchive, tmp_path: Path, fault: Fault) -> None:
    archive_with_scene.set_fault("scene/B02.tif", fault)
    assert fetch_error(archive_with_scene, tmp_path / "here").retryable


def test_stalled_body_times_out(
    archive_with_scene: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eodag.plugins.download.http.DEFAULT_STREAM_REQUESTS_TIMEOUT", 0.2)
    archive_with_scene.set_fault("scene/B02.tif", Fault(delay=1.0))
    error = fetch_error(archive_with_scene, tmp_path / "here")
    assert error.retryable
    assert "did not answer in time" in str(error)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(body=BLUE[:-1] + b"\x00"), "does not match the"),
        (Fault(body=BLUE[:-1]), "bytes, but the archive states"),
        (Fault(body=b""), "is empty"),
        (Fault(body=b"<html>log in</html>"), "bytes, but the archive states"),
        (Fault(max_bytes=1000), "closed before all bytes arrived"),
    ],
    ids=["flipped", "short", "empty", "page", "truncated"],
)
def test_invalid_downloads_are_retried_not_kept(
    archive_with_scene: FaultyArchive, tmp_path: Path, fast_retry: RetryPolicy, fault: Fault, reason: str
) -> None:
    archive_with_scene.add_faults("scene/B02.tif", fault, fault, fault)
    (failed,) = fetch_all(archive_with_scene, tmp_path, fast_retry)
    assert isinstance(failed, FailedDownload)
    assert reason in failed.reason
    assert list_downloads(tmp_path) == []
    (outcome,) = fetch_all(archive_with_scene, tmp_path, fast_retry)
    assert isinstance(outcome, FetchedProduct)
    assert (outcome.folder / "B02.tif").read_bytes() == BLUE


def test_temporary_errors_are_retried(
    archive_with_scene: FaultyArchive, tmp_path: Path, fast_retry: RetryPolicy, recorded_delays: list[float]
) -> None:
    archive_with_scene.add_faults("scene/B02.tif", Fault(429, {"Retry-After": "20"}), Fault(max_bytes=10))
    (outcome,) = fetch_all(archive_with_scene, tmp_path, fast_retry)
    assert isinstance(outcome, FetchedProduct)
    assert recorded_delays[0] >= 20


def test_second_run_fetches_only_failed_product(archive: FaultyArchive, tmp_path: Path) -> None:
    for number in range(5):
        archive.add_item(f"scene-{number}", (number, 0, number + 1, 1), {"B02.tif": BLUE + bytes([number])})
    archive.add_faults("scene-3/B02.tif", Fault(404))
    first = {outcome.product.product_id: outcome for outcome in fetch_all(archive, tmp_path)}
    assert [name for name, outcome in sorted(first.items()) if isinstance(outcome, FailedDownload)] == ["scene-3"]
    failed = first["scene-3"]
    assert isinstance(failed, FailedDownload)
    assert "404" in failed.reason
    archive.requests.clear()
    second = {outcome.product.product_id: outcome for outcome in fetch_all(archive, tmp_path)}
    from_cache = {name: outcome.from_cache for name, outcome in second.items() if isinstance(outcome, FetchedProduct)}
    assert from_cache == {f"scene-{number}": number != 3 for number in range(5)}
    assert [request.path for request in archive.requests if request.path.startswith("/files/")] == [
        "/files/scene-3/B02.tif"
    ]


def test_full_disk_is_reported(
    archive_with_scene: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, products = search_archive(archive_with_scene)

    def raise_disk_full(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("eodag.plugins.download.http.os.rename", raise_disk_full)
    (failed,) = fetch_products(source, products, tmp_path)
    assert isinstance(failed, FailedDownload)
    assert "No space left on device" in failed.reason
    assert list_downloads(tmp_path) == []


def test_archive_names_stay_inside_folder(archive_with_scene: FaultyArchive, tmp_path: Path) -> None:
    for path in ("scene/B02.tif", "scene/SCL.tif"):
        archive_with_scene.set_fault(
            path, Fault(headers={"Content-Disposition": f'attachment; filename="{tmp_path}/outside.tif"'})
        )
    archive_with_scene.items[0]["assets"]["../../up"] = archive_with_scene.items[0]["assets"].pop("SCL")
    (outcome,) = fetch_all(archive_with_scene, tmp_path / "downloads")
    assert isinstance(outcome, FetchedProduct)
    assert list(outcome.files) == ["B02.tif", "up.tif"]
    assert [path.name for path in tmp_path.iterdir()] == ["downloads"]


def test_local_files_are_not_assets(archive_with_scene: FaultyArchive, tmp_path: Path) -> None:
    secret = tmp_path / "secret.tif"
    secret.write_bytes(b"mine")
    archive_with_scene.items[0]["assets"] = {"B02": {"href": secret.as_uri(), "roles": ["data"]}}
    (failed,) = fetch_all(archive_with_scene, tmp_path / "downloads")
    assert isinstance(failed, FailedDownload)
    assert secret.read_bytes() == b"mine"


SHOP = """
shop:
  url: {url}
  priority: 1
  search:
    type: StacSearch
    api_endpoint: {url}/search
    need_auth: false
    discover_queryables: {{fetch_url: null, collection_fetch_url: null}}
    discover_collections: {{fetch_url: null}}
    metadata_mapping:
      assets: $.null
      order:status: $.properties."order:status"
      eodag:order_link: $.properties.order_link
      eodag:download_link: $.properties.download_link
      file:checksum: $.properties."file:checksum"
  products:
    scenes: {{_collection: scenes}}
  download:
    type: HTTPDownload
    order_enabled: true
    auth_error_code: 401
"""


def make_shop(archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EodagSource:
    """Configure a provider that delivers products as a whole, some of them offline."""
    configuration = tmp_path / "eodag.yml"
    configuration.write_text(SHOP.format(url=archive.url))
    monkeypatch.setenv("EODAG_CFG_FILE", str(configuration))
    return EodagSource(provider="shop", collection="scenes")


def make_zip(name: str, content: bytes) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, content)
        return file.getvalue()


def add_whole_product(archive: FaultyArchive, status: str, content: bytes, **properties: Any) -> None:
    archive.files.update({"order/S2.SAFE": b"{}", "whole/$value": content})
    links: dict[str, Any] = {
        "order_link": archive.make_url("order/S2.SAFE"),
        "download_link": archive.make_url("whole/$value"),
    }
    archive.items = [make_stac_item("S2.SAFE", (0, 0, 1, 1), {}, order__status=status, **links, **properties)]


def test_whole_product_keeps_its_zip(archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = make_zip("S2.SAFE/MTD.xml", b"<xml/>")
    add_whole_product(archive, "succeeded", content)
    source = make_shop(archive, tmp_path, monkeypatch)
    (outcome,) = fetch_products(
        source, search_products(source, EVERYWHERE, ONCE), tmp_path / "downloads", retry_policy=ONCE
    )
    assert isinstance(outcome, FetchedProduct)
    assert {path.name: path.read_bytes() for path in outcome.folder.iterdir()} == {"S2.SAFE.zip": content}


def test_whole_product_digest_is_checked(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_whole_product(archive, "succeeded", make_zip("a", b"b"), file__checksum="0" * 32)
    source = make_shop(archive, tmp_path, monkeypatch)
    (failed,) = fetch_products(
        source, search_products(source, EVERYWHERE, ONCE), tmp_path / "downloads", retry_policy=ONCE
    )
    assert isinstance(failed, FailedDownload)
    assert "does not match the digest that the archive states" in failed.reason


def test_offline_product_is_ordered_once(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_retry: RetryPolicy
) -> None:
    content = make_zip("S2.SAFE/MTD.xml", b"<xml/>")
    add_whole_product(archive, "orderable", content)
    archive.set_fault("whole/$value", Fault(202))
    source = make_shop(archive, tmp_path, monkeypatch)
    start = time.monotonic()
    (failed,) = fetch_products(
        source, search_products(source, EVERYWHERE, ONCE), tmp_path / "downloads", retry_policy=fast_retry
    )
    assert isinstance(failed, FailedDownload)
    assert failed.needs_order
    assert "was ordered: it is offline" in failed.reason
    assert failed.is_ordered
    assert time.monotonic() - start < 5
    assert archive.count_requests("/files/order/S2.SAFE") == 1
    (failed,) = fetch_products(
        source, search_products(source, EVERYWHERE, ONCE), tmp_path / "downloads", retry_policy=fast_retry
    )
    assert isinstance(failed, FailedDownload)
    assert "is ordered: it is offline" in failed.reason
    assert archive.count_requests("/files/order/S2.SAFE") == 1

    add_whole_product(archive, "succeeded", content)
    archive.set_fault("whole/$value", None)
    source = make_shop(archive, tmp_path, monkeypatch)
    (outcome,) = fetch_products(
        source, search_products(source, EVERYWHERE, ONCE), tmp_path / "downloads", retry_policy=fast_retry
    )
    assert isinstance(outcome, FetchedProduct)
    assert archive.count_requests("/files/order/S2.SAFE") == 1


ORDER_API = """
    order_method: POST
    order_on_response:
      metadata_mapping:
        eodag:order_id: $.json.id
        eodag:status_link: '{url}/files/orders/{{eodag:order_id}}'
    order_status:
      request: {{method: GET}}
      metadata_mapping: {{eodag:order_status: $.json.state, eodag:order_message: $.json.text}}
      error: {{eodag:order_status: failed}}
      success: {{eodag:order_status: done}}
      on_success:
        metadata_mapping: {{eodag:download_link: $.json.href}}
"""


def test_order_is_polled_by_later_runs(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_retry: RetryPolicy
) -> None:
    """A provider with an API of orders: POST gives an id, whose state later runs ask for until the product is ready."""
    content, folder, states = make_zip("S2.SAFE/MTD.xml", b"<xml/>"), tmp_path / "downloads", []

    def run_once(state: dict[str, str]) -> FetchedProduct | FailedDownload:
        add_whole_product(archive, "orderable", content)
        archive.files |= {"order/S2.SAFE": b'{"id": "o-17"}', "orders/o-17": json.dumps(state).encode()}
        archive.files["ready/S2.zip"] = content
        archive.set_fault("whole/$value", Fault(404))
        with monkeypatch.context() as patch:
            patch.setattr("tests.archives.eodag.test_download.SHOP", SHOP + ORDER_API.lstrip("\n"))
            source = make_shop(archive, tmp_path, monkeypatch)
        products = search_products(source, EVERYWHERE, ONCE)
        (outcome,) = fetch_products(source, products, folder, retry_policy=fast_retry)
        states.append(archive.count_requests("/files/order/S2.SAFE", "POST"))
        return outcome

    ordered, pending = (run_once({"state": "running", "text": "wait"}) for _ in range(2))
    assert isinstance(ordered, FailedDownload)
    assert isinstance(pending, FailedDownload)
    assert "was ordered (order o-17)" in ordered.reason
    assert "is ordered (order o-17)" in pending.reason
    assert (ordered.is_ordered, pending.is_ordered, states) == (True, True, [1, 1])
    (order_file,) = folder.glob("*.order.json")
    assert order_file.stat().st_mode & 0o077 == 0

    rejected = run_once({"state": "failed", "text": "tape is lost"})
    assert isinstance(rejected, FailedDownload)
    assert not rejected.is_ordered
    assert not order_file.exists()
    ordered_again = run_once({"state": "running", "text": "wait"})
    assert isinstance(ordered_again, FailedDownload)
    assert (ordered_again.is_ordered, states[-1]) == (True, 2)

    fetched = run_once({"state": "done", "href": archive.make_url("ready/S2.zip"), "text": ""})
    assert isinstance(fetched, FetchedProduct)
    assert {path.name: path.read_bytes() for path in fetched.folder.iterdir()} == {"S2.SAFE.zip": content}
    assert (states[-1], list(folder.glob("*.order.json"))) == (2, [])


def test_failed_order_is_placed_again(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_retry: RetryPolicy
) -> None:
    add_whole_product(archive, "orderable", make_zip("a", b"b"))
    archive.set_fault("whole/$value", Fault(202))
    archive.add_faults("order/S2.SAFE", Fault(503))
    source = make_shop(archive, tmp_path, monkeypatch)
    products = search_products(source, EVERYWHERE, ONCE)
    (failed,) = fetch_products(source, products, tmp_path / "downloads", retry_policy=fast_retry)
    assert isinstance(failed, FailedDownload)
    assert (failed.is_ordered, archive.count_requests("/files/order/S2.SAFE")) == (True, 2)


def test_offline_assets_are_ordered_first(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.files["order/scene"] = b"{}"
    archive.add_item(
        "scene", (0, 0, 1, 1), {"B02.tif": BLUE}, order__status="orderable", order_link=archive.make_url("order/scene")
    )
    monkeypatch.setattr("tests.archives.eodag.test_download.SHOP", SHOP.replace("      assets: $.null\n", ""))
    source = make_shop(archive, tmp_path, monkeypatch)
    (failed,) = fetch_products(
        source, search_products(source, EVERYWHERE, ONCE), tmp_path / "downloads", retry_policy=ONCE
    )
    assert isinstance(failed, FailedDownload)
    assert failed.needs_order
    assert [archive.count_requests(f"/files/{path}") for path in ("order/scene", "scene/B02.tif")] == [1, 0]


def test_offline_stac_item_is_not_requested(archive: FaultyArchive, tmp_path: Path) -> None:
    archive.add_item("scene", (0, 0, 1, 1), {"B02.tif": BLUE}, order__status="orderable")
    (failed,) = fetch_all(archive, tmp_path)
    assert isinstance(failed, FailedDownload)
    assert failed.needs_order
    assert archive.count_requests("/files/scene/B02.tif") == 0
