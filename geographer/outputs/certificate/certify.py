"""Certify a split at a revision."""

from __future__ import annotations

from typing import Any, Final

from geographer.base.executors.executor import Workers
from geographer.outputs.certificate.certificate import Certificate
from geographer.outputs.certificate.distance import check_distance
from geographer.outputs.certificate.duplicates import NOT_ASKED, check_duplicates
from geographer.outputs.certificate.levels import Level
from geographer.outputs.certificate.objects import check_objects
from geographer.outputs.certificate.pixels import check_pixels
from geographer.outputs.certificate.places import read_places
from geographer.outputs.certificate.rasters import CertifiedRasters, stage_certified_rasters
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork

_DIGEST: Final = "SELECT digest FROM chain_event WHERE position = $position"
ONE_SUBSET: Final = "the split has rasters in fewer than two subsets, so there is nothing to compare"


def certify_split(
    work: UnitOfWork,
    revision: Revision,
    split: str,
    *,
    buffer: float | None = None,
    duplicates: bool = False,
    where: str | None = None,
    workers: Workers = 1,
) -> Certificate:
    """Certify what the subsets of a split share at an open revision, whatever the split declared.

    Args:
        work: The dataset.
        revision: The revision.
        split: The split's name.
        buffer: The distance in metres that subsets must exceed; None: distances are measured only.
        duplicates: Whether to read the pixels and look for near-duplicates.
        where: Which features count as objects, as an SQL expression; None: all. The certificate states it.
        workers: Who reads the pixels.

    Raises:
        NotFoundError: the revision has no such split, or `where` names an unknown column.
        UsageError: the buffer is negative or not finite, or `where` is not one expression.
    """
    from geographer.algorithms.geodesic_distance.neighbours import parse_buffer

    if buffer is not None:
        buffer = float(buffer)
        parse_buffer(buffer)
    rasters = stage_certified_rasters(revision, split)
    levels = _check_levels(work, revision, rasters, buffer, where, duplicates=duplicates, workers=workers)
    parameters = _list_parameters(buffer, duplicates) | ({} if where is None else {"where": where})
    return Certificate(_describe_revision(revision), split, rasters, levels, parameters)


def _check_levels(
    work: UnitOfWork,
    revision: Revision,
    rasters: CertifiedRasters,
    buffer: float | None,
    where: str | None,
    *,
    duplicates: bool,
    workers: Workers,
) -> list[Level]:
    if sum(count > 0 for count in rasters.count_parts().values()) < 2:
        names = ("shared_objects", "shared_pixels", "distance", "near_duplicates")
        return [Level(name, None, ONE_SUBSET) for name in names]
    places = read_places(revision)
    return [
        check_objects(revision, rasters, where),
        check_pixels(revision, rasters, places),
        check_distance(revision, rasters, places, buffer),
        check_duplicates(revision, rasters, work, workers) if duplicates else Level("near_duplicates", None, NOT_ASKED),
    ]


def _describe_revision(revision: Revision) -> dict[str, Any]:
    return {
        "dataset": revision.fetch_value(_DIGEST, {"position": 1}),
        "position": revision.position,
        "digest": revision.fetch_value(_DIGEST, {"position": revision.position}),
        "content_digest": revision.compute_content_digest(),
    }


def _list_parameters(buffer: float | None, duplicates: bool) -> dict[str, Any]:
    from geographer.algorithms.near_duplicates.descriptor import MIN_TEXTURE
    from geographer.algorithms.near_duplicates.find import MAX_RESIDUAL, MAX_SHIFT, MIN_AGREEMENT

    limits = {
        "max_residual": MAX_RESIDUAL,
        "max_shift": MAX_SHIFT,
        "min_agreement": MIN_AGREEMENT,
        "min_texture": MIN_TEXTURE,
    }
    return {"buffer_m": buffer, "near_duplicates": limits if duplicates else None}
