"""Statistics: mean and standard deviation of each band over a part of a split, at two revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from geographer.base.progress import ProgressCallback
from geographer.outputs.impact.metric_change import subtract_values
from geographer.outputs.impact.subset import PositionPair, SubsetChip, read_chips
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chip_files import ChipFile, ChipFiles

if TYPE_CHECKING:
    from geographer.rasters.statistics import BandSums

StatisticsState = Literal["unchanged", "changed", "not computed"]

_ADVICE: Final = "Pass --no-statistics, or another part."


class BandStatistics(NamedTuple):
    """The valid pixels of a band: their number, mean and standard deviation (of the population), None without pixels.

    `non_finite` counts NaN and infinite pixels that nodata does not mark; they are left out.
    """

    pixels: int
    mean: float | None
    standard_deviation: float | None
    non_finite: int


class BandStatisticsChange(NamedTuple):
    """The statistics of a band, numbered from 1, at both revisions."""

    band: int
    before: BandStatistics
    after: BandStatistics

    @property
    def mean_difference(self) -> float | None:
        """The mean at the second revision minus that at the first; None if one of them has no pixels."""
        return subtract_values(self.after.mean, self.before.mean)

    @property
    def deviation_difference(self) -> float | None:
        """The same of the standard deviations."""
        return subtract_values(self.after.standard_deviation, self.before.standard_deviation)


class StatisticsChange(NamedTuple):
    """The statistics of a part of a split.

    The state is 'unchanged' if both revisions have the same bytes in the part; then `bands` is empty unless they were
    asked for. Otherwise it is 'changed', or 'not computed' if that was asked for.
    """

    part: str
    state: StatisticsState
    bands: list[BandStatisticsChange]


class StatisticsPlan(NamedTuple):
    """What is known without opening a file, and the files to open."""

    part: str
    chips: list[SubsetChip]
    files: tuple[ChipFiles, ChipFiles] | None

    def compare_statistics(self, work: UnitOfWork) -> StatisticsChange:
        """Read the files, each once, and return the statistics; see `ChipFiles.require_files` for the errors."""
        differs = any(chip.differs for chip in self.chips)
        if self.files is None:
            return StatisticsChange(self.part, "not computed" if differs else "unchanged", [])
        before, after = (list(files.require_files(work.file_store).values()) for files in self.files)
        sums = _read_sums([*before, *after], work.progress)
        return StatisticsChange(self.part, "changed" if differs else "unchanged", _compare_bands(sums, before, after))


def plan_statistics(
    work: UnitOfWork, positions: PositionPair, split: str, part: str, *, wanted: bool | None
) -> StatisticsPlan:
    """Return what the statistics of a part need.

    `wanted` is True: always compute them; False: never; None: only if a chip of the part differs.
    """
    with work.open_revision(max(positions)) as revision:
        chips = read_chips(revision, positions, split, part)
    if not (any(chip.differs for chip in chips) if wanted is None else wanted):
        return StatisticsPlan(part, chips, None)
    ids = [chip.raster_id for chip in chips if chip.in_from], [chip.raster_id for chip in chips if chip.in_to]
    with work.open_revision(positions.from_position) as revision:
        before = ChipFiles.list_rasters(revision, work.root, ids[0], advice=_ADVICE)
    with work.open_revision(positions.to_position) as revision:
        return StatisticsPlan(
            part, chips, (before, ChipFiles.list_rasters(revision, work.root, ids[1], advice=_ADVICE))
        )


def _read_sums(files: Sequence[ChipFile], progress: ProgressCallback) -> dict[str, list[BandSums]]:
    """Return the sums of each content, which is read once."""
    from geographer.rasters.statistics import read_band_sums

    file_by_content = {file.content: file for file in files}
    sums: dict[str, list[BandSums]] = {}
    for content, file in file_by_content.items():
        sums[content] = read_band_sums(file.path, with_sidecars=file.with_sidecars)
        progress("rasters read", len(sums), len(file_by_content))
    return sums


def _compare_bands(
    sums: dict[str, list[BandSums]], before: Sequence[ChipFile], after: Sequence[ChipFile]
) -> list[BandStatisticsChange]:
    from geographer.rasters.statistics import BandSums, merge_band_sums

    sides = [merge_band_sums(sums[file.content] for file in files) for files in (before, after)]
    count = max(map(len, sides))
    old, new = ([*side, *[BandSums()] * (count - len(side))] for side in sides)
    return [
        BandStatisticsChange(band, _make_statistics(first), _make_statistics(second))
        for band, (first, second) in enumerate(zip(old, new, strict=True), 1)
    ]


def _make_statistics(sums: BandSums) -> BandStatistics:
    return BandStatistics(sums.pixels, sums.compute_mean(), sums.compute_standard_deviation(), sums.non_finite)
