"""The events that change the classes of features."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import geographer.planning.context_event  # noqa: F401  # An event of this operation, which `add` records, too.
from geographer.planning.class_values import ClassNames
from geographer.planning.removed_rasters import REMOVAL_TABLES
from geographer.planning.user_columns import ColumnsEvent
from geographer.storage.events.payload import Count, Counted, EventPayload, Listed


class ClassesRemapped(ColumnsEvent, kw_only=True, frozen=True):
    """Classes were combined, renamed or dropped; a null type in `columns` means that the column is no more."""

    kind: ClassVar[str] = "classes_remapped"
    subject: ClassVar[str] = "feature"
    tables: ClassVar[tuple[str, ...]] = ("class_change", "feature_change", *REMOVAL_TABLES)
    moves_classes: ClassVar[bool] = True

    columns: dict[str, Literal["DOUBLE", "VARCHAR"] | None]
    classes: Annotated[ClassNames, Listed("class")]
    features: Annotated[Count, Counted("feature")]
    dropped: Annotated[Count, Counted("feature", "removed with their class")]
    pruned: Annotated[Count, Counted("chip", "removed")]
    labels: Annotated[Count, Counted("label")]
    splits: Annotated[Count, Counted("split assignment")]
    warnings: list[str]

    def iter_class_targets(self) -> Iterator[tuple[str, str | None]]:
        """See `EventPayload.iter_class_targets`."""
        mapping = self.request.get("classes") if self.request else None
        yield from mapping.items() if isinstance(mapping, dict) else ()


class ClassesHardened(EventPayload, kw_only=True, frozen=True):
    """Features got the class of their largest probability."""

    kind: ClassVar[str] = "classes_hardened"
    tables: ClassVar[tuple[str, ...]] = ("feature_change",)
    is_optional: ClassVar[bool] = True

    features: Annotated[Count, Counted("feature")]
