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

from geographer.archives.base import BytesCallback, FileInfo, Product, SearchQuery, Source, SourceError
from geographer.archives.download_pool import Failed, Fetched, discard, fetch_all, leftovers
from geographer.archives.eodag import EodagSource
from geographer.base.errors import ConflictError
from geographer.base.retry import RetryPolicy
from tests import REPOSITORY
from tests.stac_servers import Fault, FaultyArchive, search_all

ONCE = RetryPolicy(tries=1)


class Shelf(Source):
    """An archive of one's own, in memory: what it hands over is scripted."""

    def __init__(self, **files: Callable[[Path, BytesCallback], None] | dict[str, bytes]) -> None:
        super().__init__(provider="shelf", collection="books")
        self.files, self.asked, self.now, self.most = files, [], 0, 0
        self.lock = threading.Lock()

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        yield [product(name) for name in self.files]

    def fetch(self, product: Product, folder: Path, told: BytesCallback) -> None:
        with self.lock:
            self.asked.append(product.product_id)
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            files = self.files[product.product_id]
            if callable(files):
                files(folder, told)
                return
            for number, (name, content) in enumerate(files.items()):
                (folder / name).parent.mkdir(exist_ok=True, parents=True)
                (folder / name).write_bytes(content)
                told(number)
        finally:
            with self.lock:
                self.now -= 1


def product(name: str, **more: Any) -> Product:
    return Product("shelf", "books", name, shapely.to_wkb(shapely.box(0, 0, 1, 1)), **more)


def fetched(source: Shelf, folder: Path, patience: RetryPolicy = ONCE, **options: Any) -> dict[str, Fetched | Failed]:
    products = [one for page in source.search(SearchQuery(0, 0, 1, 1)) for one in page]
    return {one.product.product_id: one for one in fetch_all(source, products, folder, patience=patience, **options)}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_digest_of_a_product_of_one_file_is_that_of_the_file(tmp_path: Path) -> None:
    one = fetched(Shelf(a={"a.tif": b"pixels"}), tmp_path)["a"]
    assert isinstance(one, Fetched)
    assert (one.digest, one.total, one.reused) == (sha256(b"pixels"), 6, False)


def test_the_digest_of_a_product_of_many_files_is_that_of_their_listing(tmp_path: Path) -> None:
    one = fetched(Shelf(a={"b/c.tif": b"pixels", "a.xml": b"words"}), tmp_path)["a"]
    assert isinstance(one, Fetched)
    listing = [["a.xml", 5, sha256(b"words")], ["b/c.tif", 6, sha256(b"pixels")]]
    assert one.digest == sha256(rfc8785.dumps(listing))
    assert (list(one.files), one.total) == (["a.xml", "b/c.tif"], 11)


def test_the_manifest_tells_what_arrived(tmp_path: Path) -> None:
    one = fetched(Shelf(a={"a.tif": b"pixels"}), tmp_path)["a"]
    assert isinstance(one, Fetched)
    assert json.loads((one.folder.parent / "manifest.json").read_text()) == {
        "version": 1,
        "provider": "shelf",
        "collection": "books",
        "product_id": "a",
        "files": {"a.tif": {"size": 6, "sha256": sha256(b"pixels")}},
        "total": 6,
        "digest": sha256(b"pixels"),
    }


def test_what_is_here_is_not_fetched_again(tmp_path: Path) -> None:
    source = Shelf(a={"a.tif": b"pixels"}, b={"b.tif": b"others"})
    first, second = fetched(source, tmp_path), fetched(source, tmp_path)
    assert source.asked == ["a", "b"] or source.asked == ["b", "a"]
    assert all(isinstance(one, Fetched) and one.reused for one in second.values())
    assert {name: one.digest for name, one in first.items()} == {name: one.digest for name, one in second.items()}


def damaged(folder: Path, manifest: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Ways in which something that is here can be other than it was."""
    file = folder / "a.tif"
    yield "flipped", lambda: file.write_bytes(b"pixelS")
    yield "cut", lambda: file.write_bytes(b"pix")
    yield "gone", file.unlink
    yield "more", lambda: (folder / "new.tif").write_bytes(b"new") and None
    yield "no manifest", manifest.unlink
    yield "half a manifest", lambda: manifest.write_text(manifest.read_text()[:40]) and None


@pytest.mark.parametrize("way", ["flipped", "cut", "gone", "more", "no manifest", "half a manifest"])
def test_what_is_damaged_here_is_fetched_again(tmp_path: Path, way: str) -> None:
    source = Shelf(a={"a.tif": b"pixels"})
    one = fetched(source, tmp_path)["a"]
    assert isinstance(one, Fetched)
    dict(damaged(one.folder, one.folder.parent / "manifest.json"))[way]()
    again = fetched(source, tmp_path)["a"]
    assert isinstance(again, Fetched)
    assert (again.reused, again.digest, source.asked) == (False, sha256(b"pixels"), ["a", "a"])
    assert [path.name for path in again.folder.iterdir()] == ["a.tif"]


def test_what_the_archive_has_changed_meanwhile_is_fetched_again(tmp_path: Path) -> None:
    source = Shelf(a={"a.tif": b"pixels"})
    stated = [
        product("a", files={"a.tif": FileInfo(6, f"sha256:{sha256(content)}")}) for content in (b"pixels", b"PIXELS")
    ]
    list(fetch_all(source, stated[:1], tmp_path, patience=ONCE))
    source.files["a"] = {"a.tif": b"PIXELS"}
    (one,) = fetch_all(source, stated[1:], tmp_path, patience=ONCE)
    assert isinstance(one, Fetched)
    assert one.digest == sha256(b"PIXELS")


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        (FileInfo(7, None), "has 6 bytes, but the archive states 7"),
        (FileInfo(None, "md5:" + "0" * 32), "has not the digest"),
        (FileInfo(6, "sha256:" + "0" * 64), "has not the digest"),
    ],
)
def test_what_is_not_as_stated_is_not_kept(tmp_path: Path, hasty: RetryPolicy, stated: FileInfo, reason: str) -> None:
    source = Shelf(a={"a.tif": b"pixels"})
    (failed,) = fetch_all(source, [product("a", files={"a.tif": stated})], tmp_path, patience=hasty)
    assert isinstance(failed, Failed)
    assert reason in failed.reason
    assert source.asked == ["a"] * 3
    assert leftovers(tmp_path) == []


def test_a_digest_of_another_kind_is_checked_too(tmp_path: Path) -> None:
    stated = FileInfo(6, f"md5:{hashlib.md5(b'pixels').hexdigest()}")
    (one,) = fetch_all(Shelf(a={"a.tif": b"pixels"}), [product("a", files={"a.tif": stated})], tmp_path, patience=ONCE)
    assert isinstance(one, Fetched)


def test_half_a_product_is_not_kept(tmp_path: Path) -> None:
    both = {"a.tif": FileInfo(6), "b.tif": FileInfo(6)}
    (failed,) = fetch_all(Shelf(a={"a.tif": b"pixels"}), [product("a", files=both)], tmp_path, patience=ONCE)
    assert isinstance(failed, Failed)
    assert "'b.tif' did not arrive" in failed.reason


@pytest.mark.parametrize("files", [{}, {"a.tif": b""}])
def test_nothing_is_no_product(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert isinstance(fetched(Shelf(a=files), tmp_path)["a"], Failed)


def test_links_are_no_files(tmp_path: Path) -> None:
    shelf = Shelf(a=lambda folder, _told: (folder / "a.tif").symlink_to("/etc/hostname"))
    assert isinstance(fetched(shelf, tmp_path)["a"], Failed)


def test_a_full_disk_fails_one_product_and_the_others_go_on(tmp_path: Path) -> None:
    def full(_folder: Path, _told: BytesCallback) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    outcomes = fetched(Shelf(a=full, b={"b.tif": b"others"}), tmp_path, workers=1)
    assert isinstance(outcomes["b"], Fetched)
    assert isinstance(outcomes["a"], Failed)
    assert f"product 'a' can't be kept in '{tmp_path}' (No space left on device)" in outcomes["a"].reason


def test_an_error_that_nobody_foresaw_fails_one_product_and_the_others_go_on(tmp_path: Path) -> None:
    def wrong(_folder: Path, _told: BytesCallback) -> None:
        raise KeyError("https://ada:hunter2@archive.example/a?sig=hunter2")

    outcomes = fetched(Shelf(a=wrong, b={"b.tif": b"others"}), tmp_path)
    assert isinstance(outcomes["b"], Fetched)
    assert isinstance(outcomes["a"], Failed)
    assert "source 'Shelf' failed (KeyError: 'https://archive.example/a')" in outcomes["a"].reason


@pytest.mark.parametrize(("workers", "at_once", "expected"), [(1, 4, 1), (8, 3, 3), (2, 4, 2)])
def test_no_more_are_fetched_at_once_than_both_sides_want(
    tmp_path: Path, workers: int, at_once: int, expected: int
) -> None:
    gate = threading.Barrier(expected)

    def together(folder: Path, _told: BytesCallback) -> None:
        gate.wait(5)
        (folder / "a.tif").write_bytes(b"x")

    source = Shelf(**dict.fromkeys("abcdefghijkl"[: expected * 3], together))
    source.max_concurrent = at_once  # type: ignore[misc]
    assert all(isinstance(one, Fetched) for one in fetched(source, tmp_path, workers=workers).values())
    assert source.most == expected


def test_progress_is_told_in_products_and_bytes(tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    source = Shelf(a={"a.tif": b"pixels"}, b={"b.tif": b"others"})
    fetched(source, tmp_path, told=lambda *numbers: told.append(numbers))
    assert told[-1] == (2, 2, 12)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    threads = {threading.current_thread().name}
    fetched(source, tmp_path, told=lambda *_numbers: threads.add(threading.current_thread().name))
    assert len(threads) == 1


def test_when_one_is_asked_to_wait_the_others_wait_too(tmp_path: Path) -> None:
    times: dict[str, list[float]] = {"a": [], "b": []}
    asked = threading.Event()

    def busy(folder: Path, _told: BytesCallback) -> None:
        times["a"].append(time.monotonic())
        if len(times["a"]) == 1:
            asked.set()
            raise SourceError("busy", retryable=True, retry_after=0.3)
        (folder / "a.tif").write_bytes(b"x")

    def idle(folder: Path, _told: BytesCallback) -> None:
        times["b"].append(time.monotonic())
        if len(times["b"]) == 1:
            asked.wait(5)
            time.sleep(0.05)
            raise SourceError("broke off", retryable=True)
        (folder / "b.tif").write_bytes(b"x")

    outcomes = fetched(Shelf(a=busy, b=idle), tmp_path, RetryPolicy(first=0.01), workers=2)
    assert all(isinstance(one, Fetched) for one in outcomes.values())
    assert times["b"][1] - times["a"][0] >= 0.3


def test_a_product_that_is_named_twice_is_fetched_once(tmp_path: Path) -> None:
    source = Shelf(a={"a.tif": b"pixels"})
    assert len(list(fetch_all(source, [product("a"), product("a")], tmp_path, patience=ONCE))) == 1


def test_names_that_are_no_file_names_get_folders_of_their_own(tmp_path: Path) -> None:
    names = ["../a", "a/b", "a:b", "é" * 200, ".."]
    outcomes = fetched(Shelf(**{name: {"a.tif": name.encode()} for name in names}), tmp_path)
    folders = {one.folder.parent for one in outcomes.values() if isinstance(one, Fetched)}
    assert len(folders) == len(names)
    assert {folder.parent for folder in folders} == {tmp_path}


def test_a_run_that_is_closed_stops_its_threads_and_leaves_no_parts(tmp_path: Path) -> None:
    def endless(_folder: Path, told: BytesCallback) -> None:
        for arrived in range(10_000):
            time.sleep(0.005)
            told(arrived)

    source = Shelf(a={"a.tif": b"pixels"}, b=endless, c=endless)
    before = threading.active_count()
    start = time.monotonic()
    with closing(fetch_all(source, [product(name) for name in "abc"], tmp_path, workers=3, patience=ONCE)) as outcomes:
        assert isinstance(next(outcomes), Fetched)
    assert time.monotonic() - start < 2
    assert threading.active_count() == before
    assert [left.product_id for left in leftovers(tmp_path)] == ["a"]


def test_a_run_that_is_closed_while_it_waits_to_try_again_stops_at_once(tmp_path: Path) -> None:
    def refusing(_folder: Path, _told: BytesCallback) -> None:
        raise SourceError("later", retryable=True, retry_after=60)

    source = Shelf(a={"a.tif": b"pixels"}, b=refusing)
    start = time.monotonic()
    with closing(fetch_all(source, [product(name) for name in "ab"], tmp_path, workers=2)) as outcomes:
        assert isinstance(next(outcomes), Fetched)
    assert time.monotonic() - start < 2


def test_a_thread_that_can_not_be_stopped_is_left_behind_and_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geographer.archives.download_pool._FAREWELL", 0.05)
    free, ended = threading.Event(), threading.Event()

    def deaf(folder: Path, _told: BytesCallback) -> None:
        free.wait(5)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "late.tif").write_bytes(b"late")
        ended.set()

    source = Shelf(a={"a.tif": b"pixels"}, b=deaf)
    with closing(fetch_all(source, [product(name) for name in "ab"], tmp_path, workers=2, patience=ONCE)) as outcomes:
        assert isinstance(next(outcomes), Fetched)
    assert [left.product_id for left in leftovers(tmp_path)] == ["a"]
    free.set()
    ended.wait(5)
    for thread in threading.enumerate():
        if thread.name.startswith("geographer-fetch"):
            thread.join(5)
    assert [left.product_id for left in leftovers(tmp_path)] == ["a"]


def test_two_runs_do_not_fetch_into_one_folder(tmp_path: Path) -> None:
    source = Shelf(a={"a.tif": b"pixels"})
    with closing(fetch_all(source, [product("a")], tmp_path, patience=ONCE)) as outcomes:
        next(outcomes)
        with pytest.raises(ConflictError, match="another process downloads into"):
            next(fetch_all(source, [product("a")], tmp_path))
    assert len(list(fetch_all(source, [product("a")], tmp_path))) == 1


def test_what_the_dataset_has_taken_over_is_discarded(tmp_path: Path) -> None:
    fetched(Shelf(a={"a.tif": b"pixels"}, b={"b.tif": b"others"}), tmp_path)
    discard(tmp_path, [product("a"), product("never")])
    assert [left.product_id for left in leftovers(tmp_path)] == ["b"]


def test_where_nothing_was_fetched_nothing_is_left(tmp_path: Path) -> None:
    assert leftovers(tmp_path / "none") == []


def slow_archive(archive: FaultyArchive) -> FaultyArchive:
    """Two products that arrive, and two that take for ever."""
    for number in range(4):
        archive.add(f"scene-{number}", (number, 0, number + 1, 1), {"B02.tif": bytes([number]) * (1 << 21)})
    for number in (2, 3):
        archive.always(f"scene-{number}/B02.tif", Fault(drip=0.1))
    return archive


def started(archive: FaultyArchive, folder: Path) -> subprocess.Popen[str]:
    """A process that has fetched the first two products, and is at the others."""
    root = REPOSITORY
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("slowly.py")), archive.url, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    assert sorted(process.stdout.readline().strip() for _ in range(2)) == ["scene-0", "scene-1"]
    for _ in range(200):
        if len([left for left in leftovers(folder) if left.path.suffix == ".part" and left.size]) == 2:
            break
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_after_a_process_was_killed_only_what_it_had_not_is_fetched(
    archive: FaultyArchive, tmp_path: Path, how: signal.Signals
) -> None:
    process = started(slow_archive(archive), tmp_path)
    process.send_signal(how)
    start = time.monotonic()
    process.communicate(timeout=20)
    assert time.monotonic() - start < 5
    parts = [left for left in leftovers(tmp_path) if left.path.suffix == ".part"]
    assert len(parts) == (2 if how == signal.SIGKILL else 0)
    for number in (2, 3):
        archive.always(f"scene-{number}/B02.tif", None)
    archive.log.clear()
    source = EodagSource(provider="loopback", collection="scenes", url=archive.url)
    products = search_all(source, SearchQuery(-180, -90, 180, 90))
    outcomes = {one.product.product_id: one for one in fetch_all(source, products, tmp_path)}
    assert {name: one.reused for name, one in outcomes.items()} == {f"scene-{n}": n < 2 for n in range(4)}
    asked = sorted(one.path for one in archive.log if one.path.startswith("/files/"))
    assert asked == ["/files/scene-2/B02.tif", "/files/scene-3/B02.tif"]
    assert all(left.product_id for left in leftovers(tmp_path))
