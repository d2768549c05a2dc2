"""Segments: the round trip keeps every digest, few remain, and a stranger's code agrees with the document."""

from __future__ import annotations

import shutil
import tarfile
from math import log2

from hypothesis import given
from hypothesis import strategies as st

from geographer import Dataset
from geographer.algorithms.compaction import find_run_to_join
from geographer.storage.database.connection import Database
from geographer.storage.history.ingest import ingest_segments
from geographer.storage.history.segments import compute_segment_name, write_segment
from geographer.storage.log.append import create_log
from tests.compatibility.test_released_datasets import FOLDER
from tests.storage.history.forged_segments import SegmentRows
from tests.storage.log.digest_oracle import find_faults, read_log


def write_segments(root, folder, ends):
    """Write the log of a dataset to segments that end at some positions; return the paths and the digests."""
    folder.mkdir(parents=True)
    paths, digests, first = [], [], 1
    with Database(root / ".geographer").open_connection(log="r") as connection:
        for last in ends:
            path = folder / "new"
            new = write_segment(connection, first, last, path)
            paths.append(path.rename(folder / f"{compute_segment_name(new)}.parquet"))
            digests += new
            first = last + 1
    return paths, digests


def ingest(folder, paths, digests):
    """Take segments into a new log, and return its file."""
    folder.mkdir()
    database = Database(folder)
    create_log(database)
    ingest_segments(database, paths, digests[-1], digests[0], "main")
    return folder / "log.duckdb"


def require_round_trip(root, folder):
    """Require that the log in segments of several lengths, read in another order, is equal in every row and digest."""
    events, _ = read_log(root / ".geographer/log.duckdb")
    count = len(events)
    paths, digests = write_segments(root, folder / "segments", [1, 2, count // 2, count - 1, count])
    log = ingest(folder / "log", paths[::-1], digests)
    assert digests == [event["digest"] for event in events]
    assert read_log(log) == read_log(root / ".geographer/log.duckdb")
    assert find_faults(log) == []
    return paths


def test_round_trip_keeps_every_kind(sample_history, tmp_path):
    """Events of every kind in the sample history; the content of the segments' events gives their digests."""
    paths = require_round_trip(sample_history.root, tmp_path)
    digests = []
    for path in paths:
        rows = SegmentRows(path)
        assert path.stem == rows.compute_name()
        assert [content["rows_digest"] for content in rows.contents] == [
            rows.compute_rows_digest(number) for number in range(len(rows.events))
        ]
        digests += rows.digests
    events, _ = read_log(sample_history.root / ".geographer/log.duckdb")
    assert digests == [event["digest"] for event in events]


def test_round_trip_keeps_format_1(tmp_path):
    """A log whose events were written by version 0.1.0, in format 1."""
    with tarfile.open(FOLDER / "dataset-0.1.0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = (path.parent.parent for path in tmp_path.glob("**/log.duckdb"))
    Dataset.open(root)
    events, _ = read_log(root / ".geographer/log.duckdb")
    assert {event["format"] for event in events} == {1}
    require_round_trip(root, tmp_path / "copy")


def test_empty_and_equal_segments(team, tmp_path):
    """Segments with equal events have equal names, whatever their bytes; an empty run of events has no rows."""
    paths, _ = write_segments(team.ada, tmp_path / "first", [5])
    rows = SegmentRows(paths[0])
    rewritten = rows.write(tmp_path / "second")
    assert rewritten.name == paths[0].name
    assert rewritten.read_bytes() != paths[0].read_bytes()


def test_history_folder_holds_few_segments(dataset):
    """After n commands, the folder has O(log n) segments, which hold every event once; a rebuilt log is equal."""
    for number in range(9):
        dataset.add_classes([f"c{number}"])
    paths = [path for path in (dataset.root / "history").iterdir() if path.suffix == ".parquet"]
    digests = [digest for path in paths for digest in SegmentRows(path).digests]
    assert sorted(digests) == sorted(event.digest for event in dataset.log())
    assert len(paths) <= 7
    log = dataset.root / ".geographer/log.duckdb"
    before = read_log(log)
    shutil.rmtree(dataset.root / ".geographer")
    Dataset.open(dataset.root)
    assert read_log(log) == before


SIZES = st.one_of(
    st.lists(st.integers(1, 10), max_size=300),
    st.lists(st.integers(1, 1 << 30), max_size=300),
    st.lists(st.sampled_from([5_000, 5_001, 80_000, 10_000_000]), max_size=300),
)


@given(SIZES)
def test_compaction_bounds(sizes):
    """Of n appends, O(log n) segments remain, and no byte is written more than log2 of all bytes times."""
    segments: list[list[int]] = []
    writes = [0] * len(sizes)
    for index in range(len(sizes)):
        segments.append([index])
        writes[index] += 1
        while run := find_run_to_join([sum(sizes[item] for item in segment) for segment in segments]):
            assert 4 <= run <= len(segments)
            joined = [item for segment in segments[-run:] for item in segment]
            segments[-run:] = [joined]
            for item in joined:
                writes[item] += 1
        total = sum(sizes[: index + 1])
        assert [item for segment in segments for item in segment] == list(range(index + 1))
        assert len(segments) <= 3 * log2(total + 1) + 4
        assert all(size << (count - 1) <= total for size, count in zip(sizes, writes, strict=True) if count)


@given(st.integers(1, 2_000), st.integers(1, 10_000))
def test_compaction_of_equal_segments(count, size):
    """Equal appends leave at most 3 log4 n + 3 segments."""
    segments: list[int] = []
    for _ in range(count):
        segments.append(size)
        while run := find_run_to_join(segments):
            segments[-run:] = [sum(segments[-run:])]
    assert len(segments) <= 3 * log2(count) / 2 + 4
