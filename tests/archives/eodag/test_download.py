from __future__ import annotations

import errno
import io
import time
import zipfile
from pathlib import Path

import pytest

from geographer.archives.base import OrderRequiredError, Product, SearchQuery, SourceError
from geographer.archives.download_pool import Failed, Fetched, fetch_all, leftovers
from geographer.archives.eodag import EodagSource
from geographer.base.retry import RetryPolicy
from tests.stac_servers import Fault, FaultyArchive, asset_of, file_server, search_all, stac_item, stac_server

EVERYWHERE = SearchQuery(-180, -90, 180, 90)
ONCE = RetryPolicy(tries=1)
BLUE, CLASSES = b"II*\0" + bytes(range(256)) * 400, b"classes" * 100


def source_of(archive: FaultyArchive, **options: object) -> EodagSource:
    return EodagSource(provider="loopback", collection="scenes", url=archive.url, **options)


def found_in(archive: FaultyArchive, **options: object) -> tuple[EodagSource, list[Product]]:
    source = source_of(archive, **options)
    return source, search_all(source, EVERYWHERE, ONCE)


@pytest.fixture
def scene(archive: FaultyArchive) -> FaultyArchive:
    archive.add("scene", (0, 0, 1, 1), {"B02.tif": BLUE, "SCL.tif": CLASSES})
    return archive


def fetched(
    archive: FaultyArchive, folder: Path, patience: RetryPolicy = ONCE, **options: object
) -> list[Fetched | Failed]:
    source, products = found_in(archive, **options)
    return list(fetch_all(source, products, folder, patience=patience))


def refusal(archive: FaultyArchive, folder: Path) -> SourceError:
    """What one try of fetching the first product raises."""
    source, products = found_in(archive)
    folder.mkdir()
    with pytest.raises(SourceError) as raised:
        source.fetch(products[0], folder, lambda _arrived: None)
    assert list(folder.iterdir()) == [] or all(path.is_file() for path in folder.iterdir())
    return raised.value


def test_assets_of_a_real_stac_server_arrive_under_their_names(tmp_path: Path) -> None:
    (tmp_path / "assets" / "R10m").mkdir(parents=True)
    (tmp_path / "assets" / "R20m").mkdir()
    (tmp_path / "assets" / "R10m" / "T32TPT_B02_10m.tif").write_bytes(BLUE)
    (tmp_path / "assets" / "R20m" / "T32TPT_B02_10m.tif").write_bytes(CLASSES)
    with file_server(tmp_path / "assets") as files:
        assets = {
            "B02": asset_of(f"{files}/R10m/T32TPT_B02_10m.tif", BLUE),
            "scl": asset_of(f"{files}/R20m/T32TPT_B02_10m.tif", CLASSES),
        }
        with stac_server([stac_item("scene", (0, 0, 1, 1), assets)], tmp_path) as url:
            source = EodagSource(provider="rustac", collection="scenes", url=url)
            (one,) = fetch_all(source, search_all(source, EVERYWHERE), tmp_path / "downloads")
    assert isinstance(one, Fetched)
    assert {path.name: path.read_bytes() for path in one.folder.iterdir()} == {"B02.tif": BLUE, "scl.tif": CLASSES}


def test_only_wanted_assets_are_asked_for(scene: FaultyArchive, tmp_path: Path) -> None:
    (one,) = fetched(scene, tmp_path, assets=["SCL"])
    assert isinstance(one, Fetched)
    assert list(one.files) == ["SCL.tif"]
    assert [asked.path for asked in scene.log if asked.path.startswith("/files/")] == ["/files/scene/SCL.tif"]


def test_a_file_whose_size_is_not_stated_is_asked_for_once(scene: FaultyArchive, tmp_path: Path) -> None:
    for asset in scene.items[0]["assets"].values():
        del asset["file:size"], asset["file:checksum"]
    source, (product,) = found_in(scene, assets=["SCL"])
    assert (product.size, product.files["SCL.tif"].size) == (None, None)
    scene.log.clear()
    (one,) = fetch_all(source, [product], tmp_path, patience=ONCE)
    assert isinstance(one, Fetched)
    assert [asked.method for asked in scene.log] == ["GET"]


def test_a_product_without_anything_to_fetch_says_so(archive: FaultyArchive, tmp_path: Path) -> None:
    archive.items.append(stac_item("bare", (0, 0, 1, 1), {}))
    (failed,) = fetched(archive, tmp_path)
    assert isinstance(failed, Failed)
    assert "has nothing that can be fetched" in failed.reason


def test_another_choice_of_assets_is_another_download(scene: FaultyArchive, tmp_path: Path) -> None:
    fetched(scene, tmp_path, assets=["SCL"])
    (one,) = fetched(scene, tmp_path)
    assert isinstance(one, Fetched)
    assert (list(one.files), one.reused) == (["B02.tif", "SCL.tif"], False)


def test_bytes_are_told_as_they_arrive(scene: FaultyArchive, tmp_path: Path) -> None:
    source, products = found_in(scene)
    (tmp_path / "here").mkdir()
    told: list[int] = []
    source.fetch(products[0], tmp_path / "here", told.append)
    assert told == sorted(told)
    assert told[-1] == len(BLUE) + len(CLASSES)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_answers_that_pass_are_worth_another_try(scene: FaultyArchive, tmp_path: Path, status: int) -> None:
    scene.always("scene/B02.tif", Fault(status, {"Retry-After": "11"}))
    error = refusal(scene, tmp_path / "here")
    assert (error.retryable, error.retry_after) == (True, 11)
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_answers_that_last_are_not(scene: FaultyArchive, tmp_path: Path, status: int) -> None:
    scene.always("scene/B02.tif", Fault(status))
    error = refusal(scene, tmp_path / "here")
    assert not error.retryable
    assert not isinstance(error, OrderRequiredError)
    assert ("eodag's configuration" in str(error)) == (status in {401, 403})
    assert scene.asked_for("/files/scene/B02.tif") == 1


@pytest.mark.parametrize(
    "fault",
    [Fault(None), Fault(None, reset=True), Fault(only=1000), Fault(only=0)],
    ids=["closed", "reset", "truncated", "nothing"],
)
def test_connections_that_break_off_are_worth_another_try(scene: FaultyArchive, tmp_path: Path, fault: Fault) -> None:
    scene.always("scene/B02.tif", fault)
    assert refusal(scene, tmp_path / "here").retryable


def test_a_body_that_stalls_is_given_up(scene: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eodag.plugins.download.http.DEFAULT_STREAM_REQUESTS_TIMEOUT", 0.2)
    scene.always("scene/B02.tif", Fault(pause=1.0))
    error = refusal(scene, tmp_path / "here")
    assert error.retryable
    assert "did not answer in time" in str(error)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(body=BLUE[:-1] + b"\x00"), "has not the digest"),
        (Fault(body=BLUE[:-1]), "bytes, but the archive states"),
        (Fault(body=b""), "is empty"),
        (Fault(body=b"<html>log in</html>"), "bytes, but the archive states"),
        (Fault(only=1000), "broke off"),
    ],
    ids=["flipped", "short", "empty", "page", "truncated"],
)
def test_what_is_not_as_stated_is_fetched_again_and_never_kept(
    scene: FaultyArchive, tmp_path: Path, hasty: RetryPolicy, fault: Fault, reason: str
) -> None:
    scene.fail("scene/B02.tif", fault, fault, fault)
    (failed,) = fetched(scene, tmp_path, hasty)
    assert isinstance(failed, Failed)
    assert reason in failed.reason
    assert leftovers(tmp_path) == []
    (one,) = fetched(scene, tmp_path, hasty)
    assert isinstance(one, Fetched)
    assert (one.folder / "B02.tif").read_bytes() == BLUE


def test_trouble_that_passes_is_outlived(
    scene: FaultyArchive, tmp_path: Path, hasty: RetryPolicy, pauses: list[float]
) -> None:
    scene.fail("scene/B02.tif", Fault(429, {"Retry-After": "20"}), Fault(only=10))
    (one,) = fetched(scene, tmp_path, hasty)
    assert isinstance(one, Fetched)
    assert pauses[0] >= 20


def test_one_failure_leaves_the_others_alone_and_a_second_run_fetches_only_it(
    archive: FaultyArchive, tmp_path: Path
) -> None:
    for number in range(5):
        archive.add(f"scene-{number}", (number, 0, number + 1, 1), {"B02.tif": BLUE + bytes([number])})
    archive.fail("scene-3/B02.tif", Fault(404))
    first = {one.product.product_id: one for one in fetched(archive, tmp_path)}
    assert [name for name, one in sorted(first.items()) if isinstance(one, Failed)] == ["scene-3"]
    assert "404" in first["scene-3"].reason
    archive.log.clear()
    second = {one.product.product_id: one for one in fetched(archive, tmp_path)}
    assert {name: one.reused for name, one in second.items()} == {f"scene-{n}": n != 3 for n in range(5)}
    assert [asked.path for asked in archive.log if asked.path.startswith("/files/")] == ["/files/scene-3/B02.tif"]


def test_a_full_disk_is_told_as_it_is(scene: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, products = found_in(scene)

    def full(*_args: object, **_more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("eodag.plugins.download.http.os.rename", full)
    (failed,) = fetch_all(source, products, tmp_path)
    assert isinstance(failed, Failed)
    assert "No space left on device" in failed.reason
    assert leftovers(tmp_path) == []


def test_no_name_that_an_archive_sends_leaves_the_folder(scene: FaultyArchive, tmp_path: Path) -> None:
    for path in ("scene/B02.tif", "scene/SCL.tif"):
        scene.always(path, Fault(headers={"Content-Disposition": f'attachment; filename="{tmp_path}/outside.tif"'}))
    scene.items[0]["assets"]["../../up"] = scene.items[0]["assets"].pop("SCL")
    (one,) = fetched(scene, tmp_path / "downloads")
    assert isinstance(one, Fetched)
    assert list(one.files) == ["B02.tif", "up.tif"]
    assert [path.name for path in tmp_path.iterdir()] == ["downloads"]


def test_files_of_this_machine_are_no_assets(scene: FaultyArchive, tmp_path: Path) -> None:
    secret = tmp_path / "secret.tif"
    secret.write_bytes(b"mine")
    scene.items[0]["assets"] = {"B02": {"href": secret.as_uri(), "roles": ["data"]}}
    (failed,) = fetched(scene, tmp_path / "downloads")
    assert isinstance(failed, Failed)
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


def shop(archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EodagSource:
    """A provider of the person's own configuration, whose products come whole and may be offline."""
    configuration = tmp_path / "eodag.yml"
    configuration.write_text(SHOP.format(url=archive.url))
    monkeypatch.setenv("EODAG_CFG_FILE", str(configuration))
    return EodagSource(provider="shop", collection="scenes")


def zipped(name: str, content: bytes) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, content)
        return file.getvalue()


def add_whole(archive: FaultyArchive, status: str, content: bytes, **properties: object) -> None:
    archive.files.update({"order/S2.SAFE": b"{}", "whole/$value": content})
    links = {"order_link": archive.href("order/S2.SAFE"), "download_link": archive.href("whole/$value")}
    archive.items = [stac_item("S2.SAFE", (0, 0, 1, 1), {}, order__status=status, **links, **properties)]


def test_a_product_that_comes_whole_arrives_as_the_archive_that_it_is(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = zipped("S2.SAFE/MTD.xml", b"<xml/>")
    add_whole(archive, "succeeded", content)
    source = shop(archive, tmp_path, monkeypatch)
    (one,) = fetch_all(source, search_all(source, EVERYWHERE, ONCE), tmp_path / "downloads", patience=ONCE)
    assert isinstance(one, Fetched)
    assert {path.name: path.read_bytes() for path in one.folder.iterdir()} == {"S2.SAFE.zip": content}


def test_the_digest_of_a_product_that_comes_whole_is_checked(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_whole(archive, "succeeded", zipped("a", b"b"), file__checksum="0" * 32)
    source = shop(archive, tmp_path, monkeypatch)
    (failed,) = fetch_all(source, search_all(source, EVERYWHERE, ONCE), tmp_path / "downloads", patience=ONCE)
    assert isinstance(failed, Failed)
    assert "has not the digest that the archive states" in failed.reason


def test_a_product_that_is_offline_is_ordered_once_and_fetched_by_a_later_run(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasty: RetryPolicy
) -> None:
    content = zipped("S2.SAFE/MTD.xml", b"<xml/>")
    add_whole(archive, "orderable", content)
    archive.always("whole/$value", Fault(202))
    source = shop(archive, tmp_path, monkeypatch)
    start = time.monotonic()
    (failed,) = fetch_all(source, search_all(source, EVERYWHERE, ONCE), tmp_path / "downloads", patience=hasty)
    assert isinstance(failed, Failed)
    assert failed.offline
    assert "is offline" in failed.reason
    assert time.monotonic() - start < 5
    assert archive.asked_for("/files/order/S2.SAFE") == 1

    add_whole(archive, "succeeded", content)
    archive.always("whole/$value", None)
    source = shop(archive, tmp_path, monkeypatch)
    (one,) = fetch_all(source, search_all(source, EVERYWHERE, ONCE), tmp_path / "downloads", patience=hasty)
    assert isinstance(one, Fetched)
    assert archive.asked_for("/files/order/S2.SAFE") == 1


def test_assets_that_are_offline_are_ordered_first(
    archive: FaultyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.files["order/scene"] = b"{}"
    archive.add(
        "scene", (0, 0, 1, 1), {"B02.tif": BLUE}, order__status="orderable", order_link=archive.href("order/scene")
    )
    monkeypatch.setattr("tests.archives.eodag.test_download.SHOP", SHOP.replace("      assets: $.null\n", ""))
    source = shop(archive, tmp_path, monkeypatch)
    (failed,) = fetch_all(source, search_all(source, EVERYWHERE, ONCE), tmp_path / "downloads", patience=ONCE)
    assert isinstance(failed, Failed)
    assert failed.offline
    assert [archive.asked_for(f"/files/{path}") for path in ("order/scene", "scene/B02.tif")] == [1, 0]


def test_what_a_stac_api_tells_to_be_offline_is_not_asked_for(archive: FaultyArchive, tmp_path: Path) -> None:
    archive.add("scene", (0, 0, 1, 1), {"B02.tif": BLUE}, order__status="orderable")
    (failed,) = fetched(archive, tmp_path)
    assert isinstance(failed, Failed)
    assert failed.offline
    assert archive.asked_for("/files/scene/B02.tif") == 0
