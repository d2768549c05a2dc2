"""The event of cut recipes."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from geographer.planning.recipe_events import SelectingEvent, format_bound, format_reasons
from geographer.storage.events.payload import Adjective, Count, Counted, Fraction


class CoverReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The chips of a cover beside the proven lower bound; `gap` is the largest fraction that a new cover might save."""

    chips: Count
    bound: Count | None
    gap: Fraction | None
    kept: Count
    added: Count
    added_bound: Count


class CutterRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cutter that selected the windows."""

    cutter: str
    version: str


class ChipsCut(SelectingEvent, kw_only=True, frozen=True):
    """A cut recipe ran: it made chips, and retired those that are no longer selected."""

    kind: ClassVar[str] = "chips_cut"
    tables: ClassVar[tuple[str, ...]] = ("raster_change", "label_change", "split_change", "recipe_input")
    writes_pixels: ClassVar[bool] = True
    is_replayable: ClassVar[bool] = True

    chips: Annotated[Count, Counted("chip")]
    retired: Annotated[Count, Adjective("retired")]
    features: Annotated[Count | UnsetType, Counted("feature")] = UNSET
    boxes: Annotated[Count | UnsetType, Counted("box")] = UNSET
    cover: CoverReport | UnsetType = UNSET
    cutter: CutterRun | UnsetType = UNSET

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        yield format_reasons(self.unmet)
        if self.cover is not UNSET:
            yield format_bound(self.cover.chips, "chip", "in total", self.cover.bound)


def make_payload_rules(*present: str, optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Return which of the fields that only some cuts record a payload must have; it cannot have others."""
    fields = ("features", "boxes", "cover", "cutter")
    return {"required": [*present], "properties": {name: False for name in fields if name not in present + optional}}
