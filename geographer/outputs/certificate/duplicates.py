"""The level of near-duplicates: rasters of different subsets with nearly the same pixels, wherever they lie."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from geographer.base.errors import CorruptError, NotFoundError, StorageError
from geographer.base.executors.executor import Workers
from geographer.outputs.certificate.levels import MAX_LEAKS, Level, make_leaks
from geographer.outputs.certificate.rasters import MAX_NAMES, CertifiedRasters
from geographer.storage.dvc.dataset_executor import make_dataset_executor
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chip_files import ChipFiles

NOT_ASKED: Final = "the pixels were not read; near-duplicates are looked for only if asked for"


def check_duplicates(revision: Revision, rasters: CertifiedRasters, work: UnitOfWork, workers: Workers) -> Level:
    """Read the pixels of all rasters that have bytes, compared with their checksums, and find near-duplicates."""
    from geographer.algorithms.near_duplicates.descriptor import ImageDescriptors
    from geographer.algorithms.near_duplicates.find import find_near_duplicates
    from geographer.rasters.descriptors import describe_rasters

    unread = {raster_id for why in ("without bytes", "withdrawn") for raster_id in rasters.left_out.get(why, ())}
    read = [index for index, raster_id in enumerate(rasters.ids) if raster_id not in unread]
    try:
        listed = ChipFiles.list_rasters(revision, work.root, [rasters.ids[index] for index in read])
        files = listed.require_files(work.file_store)
    except (CorruptError, NotFoundError, StorageError) as error:
        return Level("near_duplicates", None, f"files cannot be read: {error}")
    ordered = [files[rasters.ids[index]] for index in read]
    named = [(file.path, file.content, file.with_sidecars) for file in ordered]
    executor = make_dataset_executor(workers, work.root, count=len(named))
    described = describe_rasters(named, executor, work.progress)
    found = find_near_duplicates(ImageDescriptors.from_rows(described), rasters.part[read])
    pairs = np.array(read, np.int64)[found.pairs]
    rows = zip(found.score[:MAX_LEAKS].tolist(), found.is_identical[:MAX_LEAKS].tolist(), strict=True)
    details: Any = ({"score": round(score, 2), "identical": bool(same)} for score, same in rows)
    leaks = make_leaks(rasters, ((int(a), int(b)) for a, b in pairs[:MAX_LEAKS]), details)
    plain = [rasters.ids[read[row]] for row in found.not_comparable]
    counts = {"read": len(read), "not_read": len(unread), "not_comparable": len(plain), "pairs": len(pairs)}
    holds = None if unread and not len(pairs) else not len(pairs)
    reason = f"{len(unread):,} rasters have no bytes to read" if unread else None
    return Level("near_duplicates", holds, reason, counts, leaks, {"not_comparable_ids": plain[:MAX_NAMES]})
