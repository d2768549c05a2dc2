"""Up-to-date labels: those that their recipes would not make again, which a merge can copy."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec
from msgspec import UNSET, Meta, UnsetType

from geographer.base.errors import NotFoundError, UsageError
from geographer.planning.recipe import list_recipes
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa


_LAST_SETTINGS: Final = Path(__file__).with_name("last_label_settings.sql")


class MakerRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The class of a label maker, `module:Class`, and its version."""

    class_path: Annotated[str, Meta(pattern="^[^:]+:[^:]+$")] = msgspec.field(name="class")
    version: Annotated[str, Meta(min_length=1)]


class LabelSettings(msgspec.Struct, frozen=True):
    """What all labels of a recipe share, as events record it: if it changes, all labels are made again.

    `dtype` is that of masks; `bands` has the names of the bands where each class has one; `maker` made custom labels.
    """

    dtype: Literal["uint8", "uint16"] | UnsetType = UNSET
    bands: list[str] | UnsetType = UNSET
    maker: MakerRun | UnsetType = UNSET


def read_last_settings(revision: Revision, name: str) -> LabelSettings:
    """Return the settings that the labels of a recipe were last made with; `recipe_name` must be staged."""
    settings = revision.fetch_value(_LAST_SETTINGS.read_text(), {"name": name})
    return msgspec.json.decode(settings or "{}", type=LabelSettings)


class UpToDateLabels(NamedTuple):
    """Labels that are up to date at a revision.

    Attributes:
        labels: One row a label: `label`, `raster_id`; `west`, `south`, `east`, `north`, the box in degrees in which a
            feature may be drawn on the label; `lon_shift`, the offset in degrees (360, -360 or null) of a second box
            beyond the antimeridian; `by_order`, whether the label depends on the order in which features were added;
            `by_name`, whether its bytes contain feature ids.
        object_order: The features on each label that depends on their order: `label`, `raster_id`, `feature_id`,
            `order_index`.
        settings: The settings by label name.
    """

    labels: "pa.Table"
    object_order: "pa.Table"
    settings: dict[str, LabelSettings]


@runtime_checkable
class LabelSource(Protocol):
    """A recipe of labels that a merge can copy."""

    def find_up_to_date_labels(self, revision: Revision) -> UpToDateLabels | None:
        """Return the labels that the recipe would not make again; None if what they depend on cannot be determined.

        `NotFoundError` or `UsageError` if the recipe cannot run at this revision.
        """


def find_up_to_date_labels(revision: Revision) -> UpToDateLabels:
    """Return the labels of a revision that their recipes would not make again, and what they depend on.

    Custom labels and masks with an SQL expression are excluded, because what they depend on cannot be determined; so
    are labels whose recipe cannot run at this revision.
    """
    import pyarrow as pa

    text = dict.fromkeys(("label", "raster_id"), pa.string())
    box = dict.fromkeys(("west", "south", "east", "north", "lon_shift"), pa.float64())
    labels = [pa.schema(text | box | dict.fromkeys(("by_order", "by_name"), pa.bool_())).empty_table()]
    order = [pa.schema(text | {"feature_id": pa.string(), "order_index": pa.int64()}).empty_table()]
    settings: dict[str, LabelSettings] = {}
    for source in (recipe for recipe in list_recipes(revision) if isinstance(recipe, LabelSource)):
        with suppress(NotFoundError, UsageError):
            if found := source.find_up_to_date_labels(revision):
                labels, order = [*labels, found.labels], [*order, found.object_order]
                settings |= found.settings
    return UpToDateLabels(pa.concat_tables(labels), pa.concat_tables(order), settings)
