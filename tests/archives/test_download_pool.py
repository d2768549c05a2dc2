from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import rfc8785
import shapely

from geographer.archives.base import BytesCallback, FileInfo, Product, SearchQuery, Source
from geographer.archives.download_pool import FailedDownload, FetchedProduct, delete_downloads, fetch_products
from geographer.archives.eodag import EodagSource
from geographer.archives.orders import list_ordered
from geographer.base.errors import AccessDeniedError, ConflictError, OrderRequiredError, SourceError
from geographer.base.retry import RetryPolicy
from tests import REPOSITORY
from tests.archives.cached_downloads import list_downloads
from tests.stac_servers import Fault, FaultyArchive, search_products

ONCE = RetryPolicy(max_attempts=1)


class ScriptedSource(Source):
    """A source in memory; each product's files are given as contents or as a function that writes them."""

    def __init__(self, **files: Callable[[Path, BytesCallback], None] | dict[str, bytes]) -> None:
        super().__init__(provider="shelf", collection="books")
        self.files, self.n_active, self.max_active = files, 0, 0
        self.requested_ids: list[str] = []
        self.lock = threading.Lock()

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        yield [make_product(name) for name in self.files]

    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        with self.lock:
            self.requested_ids.append(product.product_id)
            self.n_active += 1
            self.max_active = max(self.max_active, self.n_active)
        try:
            files = self.files[product.product_id]
            if callable(files):
                files(folder, on_progress)
                return
            for number, (name, content) in enumerate(files.items()):
                (folder / name).parent.mkdir(exist_ok=True, parents=True)
                (folder / name).write_bytes(content)
                on_progress(number)
        finally:
            with self.lock:
                self.n_active -= 1


def make_product(name: str, **more: Any) -> Product:
    return Product("shelf", "books", name, shapely.to_wkb(shapely.box(0, 0, 1, 1)), **more)


def fetch_all(
    source: ScriptedSource, folder: Path, retry_policy: RetryPolicy = ONCE, **options: Any
) -> dict[str, FetchedProduct | FailedDownload]:
    products = [product for page in source.search(SearchQuery(0, 0, 1, 1)) for product in page]
    return {
        outcome.product.product_id: outcome
        for outcome in fetch_products(source, products, folder, retry_policy=retry_policy, **options)
    }


def compute_sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_digest_of_single_file(tmp_path: Path) -> None:
    outcome = fetch_all(ScriptedSource(a={"a.tif": b"pixels"}), tmp_path)["a"]
    assert isinstance(outcome, FetchedProduct)
    assert (outcome.digest, outcome.total_bytes, outcome.from_cache) == (compute_sha256(b"pixels"), 6, False)


def test_digest_of_many_files_hashes_listing(tmp_path: Path) -> None:
    outcome = fetch_all(ScriptedSource(a={"b/c.tif": b"pixels", "a.xml": b"words"}), tmp_path)["a"]
    assert isinstance(outcome, FetchedProduct)
    listing: list[Any] = [["a.xml", 5, compute_sha256(b"words")], ["b/c.tif", 6, compute_sha256(b"pixels")]]
    assert outcome.digest == compute_sha256(rfc8785.dumps(listing))
    assert (list(outcome.files), outcome.total_bytes) == (["a.xml", "b/c.tif"], 11)


def test_manifest_lists_files(tmp_path: Path) -> None:
    outcome = fetch_all(ScriptedSource(a={"a.tif": b"pixels"}), tmp_path)["a"]
    assert isinstance(outcome, FetchedProduct)
    assert json.loads((outcome.folder.parent / "manifest.json").read_text()) == {
        "version": 1,
        "provider": "shelf",
        "collection": "books",
        "product_id": "a",
        "files": {"a.tif": {"size": 6, "sha256": compute_sha256(b"pixels")}},
        "total": 6,
        "digest": compute_sha256(b"pixels"),
    }


def test_complete_products_come_from_cache(tmp_path: Path) -> None:
    source = ScriptedSource(a={"a.tif": b"pixels"}, b={"b.tif": b"others"})
    first, second = fetch_all(source, tmp_path), fetch_all(source, tmp_path)
    assert source.requested_ids == ["a", "b"] or source.requested_ids == ["b", "a"]
    assert all(isinstance(outcome, FetchedProduct) and outcome.from_cache for outcome in second.values())
    digests = [
        {name: outcome.digest for name, outcome in outcomes.items() if isinstance(outcome, FetchedProduct)}
        for outcomes in (first, second)
    ]
    assert digests[0] == digests[1]


def iter_damages(folder: Path, manifest: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield ways to damage a cached product."""
    file = folder / "a.tif"
    yield "flipped", lambda: file.write_bytes(b"pixelS")
    yield "cut", lambda: file.write_bytes(b"pix")
    yield "gone", file.unlink
    yield "more", lambda: (folder / "new.tif").write_bytes(b"new")
    yield "no manifest", manifest.unlink
    yield "half a manifest", lambda: manifest.write_text(manifest.read_text()[:40])


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "more", "no manifest", "half a manifest"])
def test_damaged_cache_is_downloaded_again(tmp_path: Path, damage: str) -> None:
    source = ScriptedSource(a={"a.tif": b"pixels"})
    outcome = fetch_all(source, tmp_path)["a"]
    assert isinstance(outcome, FetchedProduct)
    dict(iter_damages(outcome.folder, outcome.folder.parent / "manifest.json"))[damage]()
    second = fetch_all(source, tmp_path)["a"]
    assert isinstance(second, FetchedProduct)
    assert (second.from_cache, second.digest, source.requested_ids) == (False, compute_sha256(b"pixels"), ["a", "a"])
    assert [path.name for path in second.folder.iterdir()] == ["a.tif"]


def test_changed_product_is_downloaded_again(tmp_path: Path) -> None:
    source = ScriptedSource(a={"a.tif": b"pixels"})
    stated = [
        make_product("a", files={"a.tif": FileInfo(6, f"sha256:{compute_sha256(content)}")})
        for content in (b"pixels", b"PIXELS")
    ]
    list(fetch_products(source, stated[:1], tmp_path, retry_policy=ONCE))
    source.files["a"] = {"a.tif": b"PIXELS"}
    (outcome,) = fetch_products(source, stated[1:], tmp_path, retry_policy=ONCE)
    assert isinstance(outcome, FetchedProduct)
    assert outcome.digest == compute_sha256(b"PIXELS")


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        (FileInfo(7, None), "has 6 bytes, but the archive states 7"),
        (FileInfo(None, "md5:" + "0" * 32), "does not match the"),
        (FileInfo(6, "sha256:" + "0" * 64), "does not match the"),
    ],
)
def test_mismatch_with_stated_info_fails(
    tmp_path: Path, fast_retry: RetryPolicy, stated: FileInfo, reason: str
) -> None:
    source = ScriptedSource(a={"a.tif": b"pixels"})
    (failed,) = fetch_products(source, [make_product("a", files={"a.tif": stated})], tmp_path, retry_policy=fast_retry)
    assert isinstance(failed, FailedDownload)
    assert reason in failed.reason
    assert source.requested_ids == ["a"] * 3
    assert list_downloads(tmp_path) == []


def test_stated_md5_is_checked(tmp_path: Path) -> None:
    stated = FileInfo(6, f"md5:{hashlib.md5(b'pixels').hexdigest()}")
    (outcome,) = fetch_products(
        ScriptedSource(a={"a.tif": b"pixels"}),
        [make_product("a", files={"a.tif": stated})],
        tmp_path,
        retry_policy=ONCE,
    )
    assert isinstance(outcome, FetchedProduct)


def test_missing_file_fails(tmp_path: Path) -> None:
    both = {"a.tif": FileInfo(6), "b.tif": FileInfo(6)}
    (failed,) = fetch_products(
        ScriptedSource(a={"a.tif": b"pixels"}), [make_product("a", files=both)], tmp_path, retry_policy=ONCE
    )
    assert isinstance(failed, FailedDownload)
    assert "'b.tif' did not arrive" in failed.reason


@pytest.mark.parametrize("files", [{}, {"a.tif": b""}])
def test_empty_product_fails(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert isinstance(fetch_all(ScriptedSource(a=files), tmp_path)["a"], FailedDownload)


def test_symlink_fails(tmp_path: Path) -> None:
    shelf = ScriptedSource(a=lambda folder, _on_progress: (folder / "a.tif").symlink_to("/etc/hostname"))
    assert isinstance(fetch_all(shelf, tmp_path)["a"], FailedDownload)


def test_full_disk_fails_one_product(tmp_path: Path) -> None:
    def raise_disk_full(_folder: Path, _on_progress: BytesCallback) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    outcomes = fetch_all(ScriptedSource(a=raise_disk_full, b={"b.tif": b"others"}), tmp_path, workers=1)
    assert isinstance(outcomes["b"], FetchedProduct)
    assert isinstance(outcomes["a"], FailedDownload)
    assert f"product 'a' cannot be written to '{tmp_path}' (No space left on device)" in outcomes["a"].reason


def test_unexpected_error_fails_one_product(tmp_path: Path) -> None:
    def raise_key_error(_folder: Path, _on_progress: BytesCallback) -> None:
        raise KeyError("https://ada:hunter2@archive.example/a?sig=hunter2")

    outcomes = fetch_all(ScriptedSource(a=raise_key_error, b={"b.tif": b"others"}), tmp_path)
    assert isinstance(outcomes["b"], FetchedProduct)
    assert isinstance(outcomes["a"], FailedDownload)
    assert "source 'ScriptedSource' failed (KeyError: 'https://archive.example/a')" in outcomes["a"].reason


@pytest.mark.parametrize(("workers", "max_concurrent", "expected"), [(1, 4, 1), (8, 3, 3), (2, 4, 2)])
def test_concurrency_respects_both_limits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: int, max_concurrent: int, expected: int
) -> None:
    gate = threading.Barrier(expected)

    def wait_for_others(folder: Path, _on_progress: BytesCallback) -> None:
        gate.wait(5)
        (folder / "a.tif").write_bytes(b"x")

    source = ScriptedSource(**dict.fromkeys("abcdefghijkl"[: expected * 3], wait_for_others))
    source.max_concurrent = max_concurrent  # type: ignore[misc]
    assert all(isinstance(outcome, FetchedProduct) for outcome in fetch_all(source, tmp_path, workers=workers).values())
    warning = f"ScriptedSource fetches at most {max_concurrent} products at the same time, not {workers}."
    assert caplog.messages == ([warning] if workers > max_concurrent else [])
    assert source.max_active == expected


def test_progress_counts_products_and_bytes(tmp_path: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    source = ScriptedSource(a={"a.tif": bytes(700_000)}, b={"b.tif": bytes(500_000)})
    fetch_all(source, tmp_path, on_progress=lambda *report: reports.append(report))
    assert reports[-1] == ("products, 1.2 MB", 2, 2)
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)
    threads = {threading.current_thread().name}
    fetch_all(source, tmp_path, on_progress=lambda *_report: threads.add(threading.current_thread().name))
    assert len(threads) == 1


def test_retry_after_delays_all_threads(tmp_path: Path) -> None:
    times: dict[str, list[float]] = {"a": [], "b": []}
    was_delayed = threading.Event()

    def fetch_busy(folder: Path, _on_progress: BytesCallback) -> None:
        times["a"].append(time.monotonic())
        if len(times["a"]) == 1:
            was_delayed.set()
            raise SourceError("busy", retryable=True, retry_after=0.3)
        (folder / "a.tif").write_bytes(b"x")

    def fetch_broken(folder: Path, _on_progress: BytesCallback) -> None:
        times["b"].append(time.monotonic())
        if len(times["b"]) == 1:
            was_delayed.wait(5)
            time.sleep(0.05)
            raise SourceError("broke off", retryable=True)
        (folder / "b.tif").write_bytes(b"x")

    outcomes = fetch_all(
        ScriptedSource(a=fetch_busy, b=fetch_broken), tmp_path, RetryPolicy(base_delay=0.01), workers=2
    )
    assert all(isinstance(outcome, FetchedProduct) for outcome in outcomes.values())
    assert times["b"][1] - times["a"][0] >= 0.3


def test_duplicate_products_are_downloaded_once(tmp_path: Path) -> None:
    source = ScriptedSource(a={"a.tif": b"pixels"})
    assert len(list(fetch_products(source, [make_product("a"), make_product("a")], tmp_path, retry_policy=ONCE))) == 1


def test_unsafe_ids_get_distinct_folders(tmp_path: Path) -> None:
    names = ["../a", "a/b", "a:b", "é" * 200, ".."]
    outcomes = fetch_all(ScriptedSource(**{name: {"a.tif": name.encode()} for name in names}), tmp_path)
    folders = {outcome.folder.parent for outcome in outcomes.values() if isinstance(outcome, FetchedProduct)}
    assert len(folders) == len(names)
    assert {folder.parent for folder in folders} == {tmp_path}


def test_close_stops_threads_and_cleans_up(tmp_path: Path) -> None:
    def fetch_endlessly(_folder: Path, on_progress: BytesCallback) -> None:
        for arrived in range(10_000):
            time.sleep(0.005)
            on_progress(arrived)

    source = ScriptedSource(a={"a.tif": b"pixels"}, b=fetch_endlessly, c=fetch_endlessly)
    before = threading.active_count()
    start = time.monotonic()
    with closing(
        fetch_products(source, [make_product(name) for name in "abc"], tmp_path, workers=3, retry_policy=ONCE)
    ) as outcomes:
        assert isinstance(next(outcomes), FetchedProduct)
    assert time.monotonic() - start < 2
    assert threading.active_count() == before
    assert [download.product_id for download in list_downloads(tmp_path)] == ["a"]


def test_close_interrupts_retry_delay(tmp_path: Path) -> None:
    def fetch_refused(_folder: Path, _on_progress: BytesCallback) -> None:
        raise SourceError("later", retryable=True, retry_after=60)

    source = ScriptedSource(a={"a.tif": b"pixels"}, b=fetch_refused)
    start = time.monotonic()
    with closing(fetch_products(source, [make_product(name) for name in "ab"], tmp_path, workers=2)) as outcomes:
        assert isinstance(next(outcomes), FetchedProduct)
    assert time.monotonic() - start < 2


def test_close_abandons_blocked_thread_safely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geographer.archives.download_pool._SHUTDOWN_TIMEOUT_S", 0.05)
    released, ended = threading.Event(), threading.Event()

    def ignore_stop(folder: Path, _on_progress: BytesCallback) -> None:
        released.wait(5)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "late.tif").write_bytes(b"late")
        ended.set()

    source = ScriptedSource(a={"a.tif": b"pixels"}, b=ignore_stop)
    with closing(
        fetch_products(source, [make_product(name) for name in "ab"], tmp_path, workers=2, retry_policy=ONCE)
    ) as outcomes:
        assert isinstance(next(outcomes), FetchedProduct)
    assert [download.product_id for download in list_downloads(tmp_path)] == ["a"]
    released.set()
    ended.wait(5)
    for thread in threading.enumerate():
        if thread.name.startswith("geographer-fetch"):
            thread.join(5)
    assert [download.product_id for download in list_downloads(tmp_path)] == ["a"]


def test_second_run_in_folder_is_rejected(tmp_path: Path) -> None:
    source = ScriptedSource(a={"a.tif": b"pixels"})
    with closing(fetch_products(source, [make_product("a")], tmp_path, retry_policy=ONCE)) as outcomes:
        next(outcomes)
        with pytest.raises(ConflictError, match="another process downloads into"):
            next(fetch_products(source, [make_product("a")], tmp_path))
    assert len(list(fetch_products(source, [make_product("a")], tmp_path))) == 1


def test_delete_downloads_keeps_other_products(tmp_path: Path) -> None:
    fetch_all(ScriptedSource(a={"a.tif": b"pixels"}, b={"b.tif": b"others"}), tmp_path)
    delete_downloads(tmp_path, [make_product("a"), make_product("never")])
    assert [download.product_id for download in list_downloads(tmp_path)] == ["b"]


def make_slow(archive: FaultyArchive) -> FaultyArchive:
    """Add two products that arrive, and two that take very long."""
    for number in range(4):
        archive.add_item(f"scene-{number}", (number, 0, number + 1, 1), {"B02.tif": bytes([number]) * (1 << 21)})
    for number in (2, 3):
        archive.set_fault(f"scene-{number}/B02.tif", Fault(piece_delay=0.1))
    return archive


def start_process(archive: FaultyArchive, folder: Path) -> subprocess.Popen[str]:
    """Start a process, and return when it has downloaded two products and is downloading the other two."""
    root = REPOSITORY
    process = subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).with_name("slow_source.py")), archive.url, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    assert sorted(process.stdout.readline().strip() for _ in range(2)) == ["scene-0", "scene-1"]
    for _ in range(200):
        if (
            len([download for download in list_downloads(folder) if download.path.suffix == ".part" and download.size])
            == 2
        ):
            break
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_killed_run_resumes_incomplete_products(
    archive: FaultyArchive, tmp_path: Path, signal_number: signal.Signals
) -> None:
    process = start_process(make_slow(archive), tmp_path)
    process.send_signal(signal_number)
    process.communicate(timeout=20)
    partial_downloads = [download for download in list_downloads(tmp_path) if download.path.suffix == ".part"]
    assert len(partial_downloads) == (2 if signal_number == signal.SIGKILL else 0)
    for number in (2, 3):
        archive.set_fault(f"scene-{number}/B02.tif", None)
    archive.requests.clear()
    source = EodagSource(provider="loopback", collection="scenes", url=archive.url)
    products = search_products(source, SearchQuery(-180, -90, 180, 90))
    outcomes = {outcome.product.product_id: outcome for outcome in fetch_products(source, products, tmp_path)}
    from_cache = {name: outcome.from_cache for name, outcome in outcomes.items() if isinstance(outcome, FetchedProduct)}
    assert from_cache == {f"scene-{number}": number < 2 for number in range(4)}
    requested = sorted(request.path for request in archive.requests if request.path.startswith("/files/"))
    assert requested == ["/files/scene-2/B02.tif", "/files/scene-3/B02.tif"]
    assert all(download.product_id for download in list_downloads(tmp_path))


class OrderingSource(ScriptedSource):
    """Orders each product once, and delivers it when `is_ready`."""

    def __init__(self) -> None:
        super().__init__(a={"a.tif": b"pixels"})
        self.n_orders, self.is_ready = 0, False

    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        if product.order is None:
            self.n_orders += 1
            raise OrderRequiredError("ordered", order={"id": str(self.n_orders)})
        assert product.order == {"id": str(self.n_orders)}
        if not self.is_ready:
            raise OrderRequiredError("not yet", order=product.order)
        super().fetch(product, folder, on_progress)


def test_product_is_ordered_once(tmp_path: Path) -> None:
    source = OrderingSource()
    outcomes = [fetch_all(source, tmp_path)["a"] for _ in range(3)]
    assert [outcome[1:] for outcome in outcomes if isinstance(outcome, FailedDownload)] == [
        (reason, True, True, False, False) for reason in ("ordered", "not yet", "not yet")
    ]
    assert (source.n_orders, list_ordered(tmp_path)) == (1, {("shelf", "books", "a")})
    source.is_ready = True
    assert isinstance(fetch_all(source, tmp_path)["a"], FetchedProduct)
    assert (source.n_orders, list_ordered(tmp_path)) == (1, set())


def test_damaged_order_is_placed_again(tmp_path: Path) -> None:
    source = OrderingSource()
    fetch_all(source, tmp_path)
    (order_file,) = tmp_path.glob("*.order.json")
    order_file.write_text("{")
    fetch_all(source, tmp_path)
    assert source.n_orders == 2


@pytest.mark.parametrize(
    ("error", "is_replaceable"),
    [
        (SourceError("gone"), True),
        (SourceError("trouble", retryable=True), True),
        (SourceError("busy", retryable=True, retry_after=7200), False),
        (ValueError("a plugin's own"), True),
        (AccessDeniedError("who are you?"), False),
        (OSError(errno.ENOSPC, "full"), False),
        (OrderRequiredError("later"), False),
        (OrderRequiredError("no orders", is_ordered=False), True),
    ],
)
def test_failures_say_whether_others_help(tmp_path: Path, error: Exception, is_replaceable: bool) -> None:
    def fetch(_folder: Path, _on_progress: BytesCallback) -> None:
        raise error

    failed = fetch_all(ScriptedSource(a=fetch), tmp_path)["a"]
    assert isinstance(failed, FailedDownload)
    assert failed.is_replaceable == is_replaceable
    assert failed.is_temporary == (getattr(error, "retryable", False))
