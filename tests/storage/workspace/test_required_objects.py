"""Compare the objects that revisions need with what DVC tracked when the revisions were made."""

from __future__ import annotations

import json

import pytest

from geographer import Dataset
from geographer.storage.dvc.dvc_check import iter_dvc_files, read_dvc_file
from geographer.storage.workspace.checkout import list_files
from geographer.storage.workspace.required_objects import (
    iter_folder_listings,
    list_required_objects,
    list_retained_positions,
)
from tests.sample_history import HEAD, V1

V2 = HEAD - 1


@pytest.fixture(scope="module")
def head(sample_history):
    """The head of the sample history, open for reading."""
    with Dataset.open(sample_history.root)._unit_of_work.open_revision() as revision:
        yield revision


def read_cache_sizes(root):
    """Return the size of each object in DVC's cache by its address, without segments of the history."""
    files = [path for path in (root / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    listings = {path: json.loads(path.read_bytes()) for path in files if path.suffix == ".dir"}
    history = [path for path, rows in listings.items() if rows[0]["relpath"].endswith(".parquet")]
    excluded = {path.parent.name + path.name for path in history}
    excluded |= {row["md5"] for path in history for row in listings[path]}
    sizes = {path.parent.name + path.name: path.stat().st_size for path in files}
    return {name: size for name, size in sizes.items() if name not in excluded}


def read_tracked_sizes(root):
    """Return the size of each object that the `.dvc` files of a workspace need, by its address, as in the cache."""
    cached = read_cache_sizes(root)
    tracked: dict[str, int] = {}
    for top in ("rasters", "labels"):
        for path in iter_dvc_files(root, top):
            address = read_dvc_file(root / path).address
            listing = json.loads((root / ".dvc/cache/files/md5" / address[:2] / address[2:]).read_bytes())
            tracked |= {name: cached[name] for name in (address, *(row["md5"] for row in listing))}
    return tracked


def test_all_revisions_need_whole_cache(sample_history, head):
    positions = list_retained_positions(head, "all")
    assert positions == list(range(1, HEAD + 1))
    assert list_required_objects(head, positions).object_sizes == read_cache_sizes(sample_history.root)


def test_revision_needs_what_dvc_tracked(sample_history, head):
    assert list_required_objects(head, [V1]).object_sizes == read_tracked_sizes(sample_history.at_v1)
    assert list_required_objects(head, [HEAD]).object_sizes == read_tracked_sizes(sample_history.root)


def test_each_revision_needs_its_files(head):
    for position in range(1, HEAD + 1):
        expected = {file.checksums.md5: file.checksums.size for file in list_files(head, position)}
        assert list_required_objects(head, [position]).files == expected


def test_revisions_need_union(head):
    separate = [list_required_objects(head, [position]).object_sizes for position in (V1 + 2, 3, HEAD, 1)]
    together = list_required_objects(head, [3, HEAD, 1, V1 + 2, 3]).object_sizes
    assert together == {name: size for sizes in separate for name, size in sizes.items()}
    assert list_required_objects(head, []) == ({}, {})
    assert list_required_objects(head, [1]) == ({}, {})


def test_excluded_files_are_left_out(head):
    everything = list_required_objects(head, [V1, HEAD])
    excluded = sorted(everything.files)[:2]
    rest = list_required_objects(head, [V1, HEAD], excluded_md5s=set(excluded))
    assert rest.listings == everything.listings
    assert rest.files == {md5: size for md5, size in everything.files.items() if md5 not in excluded}


def test_listings_are_cached_objects(sample_history, head):
    listings = list(iter_folder_listings(head, range(1, HEAD + 1)))
    assert {listing.folder for listing in listings} >= {"rasters/source", "rasters/around", "labels/mask/around"}
    assert len({(listing.folder, listing.address) for listing in listings}) == len(listings)
    for listing in listings:
        cached = sample_history.root / ".dvc/cache/files/md5" / listing.address[:2] / listing.address[2:]
        assert listing.content == cached.read_bytes()


def test_retained_positions(head):
    assert list_retained_positions(head, "current") == [HEAD]
    assert list_retained_positions(head, "tags") == [V1, V2, HEAD]
