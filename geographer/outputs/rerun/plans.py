"""Plans: whether a request, planned again, chooses the objects and windows that its event recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Literal, NamedTuple

from geographer.base.values import Window
from geographer.outputs.rerun.made_files import EventFile, RecordedOutcome
from geographer.storage.request import PlannedFile, PlannedFiles

PlanFault = Literal["not planned", "planned beside", "other window", "other feature", "not removed", "removed beside"]


class PlanDifference(NamedTuple):
    """Where a plan that was made again is not the recorded one.

    Attributes:
        fault: The plan lacks a recorded file or removal, has one more, or has another window or feature.
        label: The name of the label; None: a chip or raster.
        raster_id: The id of the raster.
        recorded: The window (column, row, width, height) or the feature that the event recorded.
        planned: Those that are planned now.
    """

    fault: PlanFault
    label: str | None
    raster_id: str
    recorded: Any = None
    planned: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as JSON."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def format_text(self) -> str:
        """Return the difference in words."""
        name = f"{self.label}/{self.raster_id}" if self.label else self.raster_id
        values = "" if self.recorded is None and self.planned is None else f" ({self.recorded} → {self.planned})"
        return f"{name}: {self.fault}{values}"


def compare_plans(
    outcome: RecordedOutcome, planned: PlannedFiles, withdrawn_md5s: Collection[str] = ()
) -> list[PlanDifference]:
    """Return where a plan is not what an event recorded, by kind and id.

    A planned file that replaces one need not be recorded: it may have come out as it was. A recipe does not plan chips
    whose bytes were withdrawn, which is no difference.
    """
    recorded = {(file.label, file.raster_id): file.md5 for file in outcome.files}
    differences = [
        item
        for item in _compare_made(outcome.files, planned.made)
        if item.fault != "not planned" or recorded[item.label, item.raster_id] not in withdrawn_md5s
    ]
    recorded_removals, planned_removals = set(outcome.removed), set(planned.removed)
    differences += [PlanDifference("not removed", *key) for key in recorded_removals - planned_removals]
    differences += [PlanDifference("removed beside", *key) for key in planned_removals - recorded_removals]
    return sorted(differences, key=lambda item: (item.fault, item.label or "", item.raster_id))


def _compare_made(recorded: list[EventFile], planned: list[PlannedFile]) -> Iterator[PlanDifference]:
    planned_by_key = {(file.label, file.raster_id): file for file in planned}
    for file in recorded:
        key = (file.label, file.raster_id)
        again = planned_by_key.pop(key, None)
        if again is None:
            yield PlanDifference("not planned", *key)
        elif (file.parent_id, file.window) != (again.parent_id, again.window):
            places = [_list_place(*side) for side in ((file.parent_id, file.window), (again.parent_id, again.window))]
            yield PlanDifference("other window", *key, *places)
        elif file.feature_id != again.feature_id:
            yield PlanDifference("other feature", *key, file.feature_id, again.feature_id)
    yield from (PlanDifference("planned beside", *key) for key, file in planned_by_key.items() if file.is_new)


def _list_place(parent_id: str | None, window: Window | None) -> list[Any]:
    return [parent_id, *(window or ())]
