"""The files of tasks on workers and clients, without a cluster: stores, caches, journals, paths."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from geographer.base.errors import StorageError, UsageError
from geographer.base.executors.batch_journal import BatchJournal, make_batch_key
from geographer.base.executors.client_files import InputFiles, fetch_outputs
from geographer.base.executors.cluster_task import WrittenFile
from geographer.base.executors.object_store import ObjectStore, StoreError, is_disk_full
from geographer.base.executors.task_files import InputFile, locate_file, report_md5, use_task_files
from geographer.base.executors.versions import read_versions, require_equal_versions
from geographer.base.executors.worker_files import FetchedInput, InputCache, make_task_folder


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    (tmp_path / "store").mkdir()
    return ObjectStore.open_url((tmp_path / "store").as_uri())


def put_text(store: ObjectStore, folder: Path, text: str) -> str:
    path = folder / "put.txt"
    path.write_text(text)
    md5 = hashlib.md5(text.encode()).hexdigest()
    store.put_objects({md5: path})
    return md5


def test_store_keeps_layout_of_dvc(store: ObjectStore, tmp_path: Path):
    md5 = put_text(store, tmp_path, "water")
    put_text(store, tmp_path, "water")
    assert [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "store").rglob("*") if path.is_file()] == [
        f"store/files/md5/{md5[:2]}/{md5[2:]}"
    ]
    assert (store.has_object(md5), store.has_object("0" * 32)) == (True, False)
    store.get_objects([(md5, tmp_path / "got.txt")])
    assert (tmp_path / "got.txt").read_text() == "water"
    with pytest.raises(StoreError, match=r"lacks an object"):
        store.get_objects([("0" * 32, tmp_path / "none.txt")])
    with store.hold_probe() as probe:
        assert store.has_object(probe)
    assert not store.has_object(probe)


def test_store_refuses_other_bytes(store: ObjectStore, tmp_path: Path):
    (tmp_path / "raster.tif").write_text("changed")
    with pytest.raises(StorageError, match=r"raster.tif' changed while it was read"):
        store.put_objects({"0" * 32: tmp_path / "raster.tif"}, require_digest=True)
    md5 = put_text(store, tmp_path, "water")
    (tmp_path / "store" / "files" / "md5" / md5[:2] / md5[2:]).write_text("wine")
    with pytest.raises(StoreError, match="other bytes"):
        store.get_objects([(md5, tmp_path / "got.txt"), (md5, tmp_path / "again.txt")])


def test_store_hides_credentials_and_is_opened_once():
    store = ObjectStore(None, "bucket/prefix", "s3://ada:very-secret@bucket/prefix")
    assert "very-secret" not in repr(store) + store.url
    pickled = pickle.dumps(store)
    assert pickle.loads(pickled) is pickle.loads(pickled)


@pytest.mark.parametrize("url", ["nosuch://bucket", "s3://", "memory", "memory://x", "://x", "file:", ""])
def test_wrong_stores_are_named(url: str):
    with pytest.raises(UsageError, match="store"):
        ObjectStore.open_url(url)


def test_full_disk_differs_from_full_store():
    full = OSError(errno.ENOSPC, "No space left on device")
    caused, of_store = StorageError("cannot write"), StoreError("the store failed")
    caused.__cause__ = of_store.__cause__ = full
    assert is_disk_full(full)
    assert is_disk_full(caused)
    assert not is_disk_full(of_store)
    assert not is_disk_full(OSError(errno.EACCES, "denied"))


def test_cache_drops_what_was_used_first(store: ObjectStore, tmp_path: Path):
    md5s = [put_text(store, tmp_path, letter * 40) for letter in "abc"]
    cache = InputCache(tmp_path / "cache", limit=100)
    for number, md5 in enumerate([md5s[0], md5s[1], md5s[0], md5s[2]]):
        cache.link_input(md5, store, tmp_path / "task" / str(number))
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {md5s[0], md5s[2]}
    assert (tmp_path / "task" / "1").read_text() == "b" * 40
    cache.clear_inputs()
    assert list((tmp_path / "cache").iterdir()) == []


def test_task_folder_has_files_beside_each_other(store: ObjectStore, tmp_path: Path):
    """A raster and its sidecar file, of which the client has other paths, and one that is not listed."""
    files = {"/data/a.tif": "raster", "/data/a.tif.aux.xml": "sidecar"}
    inputs = [FetchedInput(path, path, put_text(store, tmp_path, text)) for path, text in files.items()]
    with make_task_folder(tmp_path / "scratch", inputs, ["/out/chip.tif"]) as folder:
        folder.fetch_inputs(inputs, InputCache(tmp_path / "cache"), store)
        with use_task_files(folder.locate_file) as md5s:
            located = locate_file("/data/a.tif")
            assert located.read_text() == "raster"
            assert located.with_name("a.tif.aux.xml").read_text() == "sidecar"
            assert locate_file("/vsicurl/https://example.org/b.tif") == Path("/vsicurl/https://example.org/b.tif")
            locate_file("/out/chip.tif").write_text("chip")
            report_md5(locate_file("/out/chip.tif"), "checksum")
        assert md5s == {str(folder.folder / "out/chip.tif"): "checksum"}
        assert folder.restore_paths(f"'{located}' is damaged") == "'/data/a.tif' is damaged"
    assert locate_file("/data/a.tif") == Path("/data/a.tif")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_inputs_are_uploaded_once(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.tif").write_text("raster")
    inputs = InputFiles()
    files = [InputFile(tmp_path / "a.tif"), InputFile("/vsis3/bucket/b.tif"), InputFile(tmp_path / "none.tif")]
    (found,) = inputs.list_inputs(files)
    assert found == (str(tmp_path / "a.tif"), str(tmp_path / "a.tif"), hashlib.md5(b"raster").hexdigest())
    inputs.upload_inputs([found], store)
    monkeypatch.setattr(store, "has_object", lambda _: pytest.fail("asked again"))
    inputs.upload_inputs([found], store)


def test_outputs_appear_complete_or_not_at_all(store: ObjectStore, tmp_path: Path):
    md5 = put_text(store, tmp_path, "chip")
    outputs = [
        WrittenFile(str(tmp_path / "out" / "a.tif"), md5),
        WrittenFile(str(tmp_path / "out" / "b.tif"), "0" * 32),
    ]
    with pytest.raises(StorageError, match="lacks"):
        fetch_outputs(outputs, store)
    assert list((tmp_path / "out").iterdir()) == []
    fetch_outputs(outputs[:1], store)
    assert (tmp_path / "out" / "a.tif").read_text() == "chip"


class Outcome(NamedTuple):
    path: str
    value: float | None


def make_key(batch: object, *arguments: object, inputs=None, outputs=(), versions=None) -> str | None:
    return make_batch_key(partial(print, *arguments), batch, inputs or {}, outputs, versions or {"numpy": "2"})


def test_key_depends_on_all_but_paths():
    key = make_key(["/a/x.tif", "/s/1.tif"], 5, inputs={"/a/x.tif": "md5"}, outputs=["/s/1.tif"])
    assert key == make_key(["/b/x.tif", "/t/9.tif"], 5, inputs={"/b/x.tif": "md5"}, outputs=["/t/9.tif"])
    others = [
        make_key(["/a/x.tif", "/s/1.tif"], 6, inputs={"/a/x.tif": "md5"}, outputs=["/s/1.tif"]),
        make_key(["/a/x.tif", "/s/1.tif"], 5, inputs={"/a/x.tif": "other"}, outputs=["/s/1.tif"]),
        make_key(["/a/x.tif", "/s/1.tif"], 5, inputs={"/a/x.tif": "md5"}),
        make_key(
            ["/a/x.tif", "/s/1.tif"], 5, inputs={"/a/x.tif": "md5"}, outputs=["/s/1.tif"], versions={"numpy": "3"}
        ),
        make_key([float("nan")]),
        make_key([None]),
    ]
    assert len({key, *others}) == 7
    assert make_key(object()) is None


def test_journal_gives_results_and_files_back(tmp_path: Path):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    paths = [str(tmp_path / "first" / name) for name in "ab"]
    Path(paths[1]).write_text("chip")
    md5 = hashlib.md5(b"chip").hexdigest()
    journal = BatchJournal(tmp_path / "journal")
    journal.write_results("key", [Outcome(paths[1], 0.1), Outcome("", None)], paths, {paths[1]: md5})
    moved = [path.replace("first", "second") for path in paths]
    assert journal.read_results("key", Outcome, moved) == [Outcome(moved[1], 0.1), Outcome("", None)]
    assert (Path(moved[1]).read_text(), Path(moved[0]).exists()) == ("chip", False)
    assert journal.read_results("other", Outcome, moved) is None
    assert journal.read_results("key", int, moved) is None
    Path(paths[1]).write_text("chop")
    assert journal.read_results("key", Outcome, moved) is None


@pytest.mark.parametrize("content", [b"", b"\x80", b"\xc1junk", msgspec.msgpack.encode([1]), pickle.dumps(os.getcwd)])
def test_damaged_entries_are_passed_over(content: bytes, tmp_path: Path):
    (tmp_path / "key.msgpack").write_bytes(content)
    assert BatchJournal(tmp_path).read_results("key", Outcome, []) is None


def read_and_interrupt(journal: BatchJournal) -> None:
    assert journal.read_results("stopped", int, []) == [1]
    raise KeyboardInterrupt


def test_journal_forgets_what_was_recorded_or_is_old(tmp_path: Path):
    folder = tmp_path / "journal"
    for key in ("used", "stopped", "old"):
        BatchJournal(folder).write_results(key, [1], [], {})
    week_ago = time.time() - 8 * 24 * 3600
    os.utime(folder / "old.msgpack", (week_ago, week_ago))
    journal = BatchJournal(folder)
    with pytest.raises(KeyboardInterrupt), journal:
        read_and_interrupt(journal)
    with BatchJournal(folder) as journal:
        assert journal.read_results("used", int, []) == [1]
    assert [path.name for path in folder.glob("*.msgpack")] == ["stopped.msgpack"]


def test_versions_of_worker_are_compared():
    versions = read_versions(lambda: {"gdal": "3.10"})
    assert {"geographer", "Python", "numpy", "gdal"} <= versions.keys()
    require_equal_versions("tcp://x:1", versions, dict(versions))
    with pytest.raises(
        UsageError, match=r"worker tcp://x:1 has other versions.*gdal 3.9 \(client: 3.10\), shapely none"
    ):
        require_equal_versions("tcp://x:1", {"gdal": "3.10", "shapely": "2"}, {"gdal": "3.9"})
