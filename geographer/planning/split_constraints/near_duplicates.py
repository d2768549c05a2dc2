"""Near-duplicates as a bond: rasters with nearly the same pixels stay in one part, wherever they lie.

A split reads the pixels of its rasters when it runs and records the pairs with the pixel digests of both, because a
later check must not need the files. A pair is a fact about pixels: it counts wherever they are, on every branch.
"""

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from geographer.algorithms.connected_components import Links
from geographer.base.executors.executor import Executor, Workers
from geographer.base.progress import ProgressCallback
from geographer.storage.dvc.dataset_executor import make_dataset_executor
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.source_rasters import SourceRasters
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

REASON: Final = "near-duplicate pixels"
"""What connects near-duplicates, as messages say it."""
_LINKS: Final = Path(__file__).with_name("near_duplicate_links.sql")
_MEMBERS: Final = (
    "SELECT raster_index, current_raster.raster_id, coalesce(pixel_digest, sha256) AS digest, md5 FROM current_raster "
    "JOIN grouped_raster USING (raster_key) WHERE storage <> 'catalogue' AND digest IS NOT NULL "
    "ORDER BY raster_index"
)
_COMPARED: Final = (
    "SELECT true FROM log.event WHERE kind = 'split_assigned' AND (payload->>'$.near_duplicates.compared') = $compared "
    "LIMIT 1"
)


class NearDuplicatePair(NamedTuple):
    """The ids of two rasters, and the digests of their pixels."""

    a: str
    b: str
    digests: tuple[str, str]


class ComparedPixels(NamedTuple):
    """What was found when the pixels of rasters were compared.

    Attributes:
        compared: The SHA-256 of the sorted pixel digests, one per line, of the rasters that were compared.
        pairs: The near-duplicates among them, in order of id.
        not_comparable: How many of them have too little texture.
    """

    compared: str
    pairs: list[NearDuplicatePair]
    not_comparable: int


def fetch_recorded_links(revision: Revision) -> Links:
    """Return the pairs of grouped rasters that splits found to be near-duplicates, shape (n, 2)."""
    pairs = revision.fetch_arrow(_LINKS.read_text())
    return np.column_stack([pairs["raster_a"].to_numpy(), pairs["raster_b"].to_numpy()]).astype(np.int64)


def find_near_duplicate_links(
    revision: Revision, root: Path, workers: Workers, progress: ProgressCallback
) -> tuple[Links, ComparedPixels | None]:
    """Return the pairs of grouped rasters that are near-duplicates, shape (n, 2), and what is to be recorded.

    `workers` read the files in the workspace, unless the same pixels were compared before; then nothing is to be
    recorded. Rasters without bytes are left out.

    Raises:
        CorruptError: a file is missing or damaged.
        NotFoundError: a file lies in a root that this machine has not set.
    """
    withdrawn = list_withdrawn_files(revision.connection)
    rows = [row[:3] for row in revision.fetch_rows(_MEMBERS) if row[3] not in withdrawn]
    digests = sorted({digest for _, _, digest in rows})
    compared = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    if revision.fetch_value(_COMPARED, {"compared": compared}):
        return fetch_recorded_links(revision), None
    sources = SourceRasters(revision, root, [raster_id for _, raster_id, _ in rows])
    executor = make_dataset_executor(workers, root, count=len(rows))
    rasters = [(raster_id, digest) for _, raster_id, digest in rows]
    found, not_comparable = _compare_pixels(sources, rasters, executor, progress)
    index = np.array([row[0] for row in rows], np.int64)
    pairs = [NearDuplicatePair(rows[a][1], rows[b][1], (rows[a][2], rows[b][2])) for a, b in found.tolist()]
    return index[found], ComparedPixels(compared, pairs, not_comparable)


def _compare_pixels(
    sources: SourceRasters, rasters: list[tuple[str, str]], executor: Executor, progress: ProgressCallback
) -> tuple[Links, int]:
    """Return the near-duplicates among rasters, given by id and pixel digest, and how many are not comparable."""
    from geographer.algorithms.near_duplicates.descriptor import ImageDescriptors
    from geographer.algorithms.near_duplicates.find import find_near_duplicates
    from geographer.rasters.descriptors import describe_rasters

    sources.require_intact()
    source = sources.raster_by_id
    files = [(source[raster_id].path, digest, source[raster_id].is_referenced) for raster_id, digest in rasters]
    found = find_near_duplicates(ImageDescriptors.from_rows(describe_rasters(files, executor, progress)))
    sources.require_unchanged()
    return found.pairs, len(found.not_comparable)
