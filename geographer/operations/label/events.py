"""The event of label recipes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import UNSET, Meta, UnsetType, field

from geographer.planning.recipe_events import RecipeEvent
from geographer.planning.up_to_date_labels import MakerRun
from geographer.storage.events.payload import Adjective, Count, Counted, Setting

Note = Literal["subpixel", "hidden", "dropped"]
"""What labels note about features: drawn as one pixel only; covered by others; left out as too little is visible."""

SUBPIXEL, HIDDEN, DROPPED = "smaller than a pixel", "hidden", "too little of it visible"
"""The notes as events record them."""

_FIELDS: Final = {"masks", "labels", "dtype", "bands", "maker", SUBPIXEL, HIDDEN, DROPPED}
_PositiveCount = Annotated[int, Meta(ge=1)]


class LabelsMade(RecipeEvent, kw_only=True, frozen=True):
    """A label recipe ran: it made labels, and retired those whose rasters left the collection."""

    kind: ClassVar[str] = "labels_made"
    tables: ClassVar[tuple[str, ...]] = ("label_change", "label_object_change")
    writes_pixels: ClassVar[bool] = True
    is_replayable: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("shapely",)

    masks: Annotated[Count | UnsetType, Counted("mask")] = UNSET
    labels: Annotated[Count | UnsetType, Counted("label")] = UNSET
    retired: Annotated[Count, Adjective("retired")]
    subpixel: Annotated[_PositiveCount | UnsetType, Counted("feature", SUBPIXEL)] = field(default=UNSET, name=SUBPIXEL)
    hidden: Annotated[_PositiveCount | UnsetType, Counted("feature", "hidden by others")] = UNSET
    dropped: Annotated[_PositiveCount | UnsetType, Counted("feature", "dropped because too little is visible")] = field(
        default=UNSET, name=DROPPED
    )
    dtype: Annotated[Literal["uint8", "uint16"] | UnsetType, Setting("data type")] = UNSET
    bands: list[str] | UnsetType = UNSET
    maker: MakerRun | UnsetType = UNSET


def make_payload_rules(*required: str, notes: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Return the JSON Schema of what the payloads of a kind of label have, may have, and do not have."""
    absent = _FIELDS.difference(required, notes)
    return {"properties": dict.fromkeys(sorted(absent), False), "required": list(required)}
