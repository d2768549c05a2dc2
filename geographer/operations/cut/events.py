"""The event of cut recipes."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from geographer.planning.recipe_events import SelectingEvent, format_bound, format_reasons
from geographer.storage.events.payload import Adjective, Count, Counted, EventPayload, Fraction


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


class ChipsCutV1(SelectingEvent, kw_only=True, frozen=True):
    """A cut recipe ran: it made files of chips, and retired those that are no longer selected."""

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

    def to_current_version(self) -> "ChipsCut":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(self.to_json(), ChipsCut)

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        yield format_reasons(self.unmet)
        if self.cover is not UNSET:
            yield format_bound(self.cover.chips, "chip", "in total", self.cover.bound)


class ChipsCut(ChipsCutV1, kw_only=True, frozen=True):
    """A cut recipe ran that makes virtual chips, and retired those that are no longer selected.

    Recipes of files record version 1, which older versions of geographer read.
    """

    kind: ClassVar[str] = "chips_cut"
    version: ClassVar[int] = 2

    def to_current_version(self) -> "ChipsCut":
        """See `EventPayload.to_current_version`."""
        return self


class ChipsMaterialised(EventPayload, kw_only=True, frozen=True):
    """Virtual chips became files: their pixels, windows and ids are as before."""

    kind: ClassVar[str] = "chips_materialised"
    tables: ClassVar[tuple[str, ...]] = ("raster_change",)
    writes_pixels: ClassVar[bool] = True
    is_replayable: ClassVar[bool] = True
    is_optional: ClassVar[bool] = True

    chips: Annotated[Count, Counted("chip")]

    def load_request(self) -> Any:
        """See `EventPayload.load_request`."""
        from geographer.storage.request import list_request_classes

        (request_class,) = (item for item in list_request_classes() if item.event is ChipsMaterialised)
        return request_class(**(self.request or {}))


def make_payload_rules(*present: str, optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Return which of the fields that only some cuts record a payload must have; it cannot have others."""
    fields = ("features", "boxes", "cover", "cutter")
    return {"required": [*present], "properties": {name: False for name in fields if name not in present + optional}}
