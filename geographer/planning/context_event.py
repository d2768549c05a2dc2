"""The event that says which classes are context; classes can be added with it."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from geographer.planning.class_values import ClassNames
from geographer.storage.events.payload import EventPayload, Listed

CONTEXT_EVENT: Final = "context_classes_changed"


class ContextClassesChanged(EventPayload, kw_only=True, frozen=True):
    """Classes became context classes, or learned ones again; `classes` were added by the same event."""

    kind: ClassVar[str] = CONTEXT_EVENT
    tables: ClassVar[tuple[str, ...]] = ("class_change",)
    has_request: ClassVar[bool] = False
    is_optional: ClassVar[bool] = True
    declares_context: ClassVar[bool] = True

    classes: Annotated[ClassNames, Listed("class")]
    context_classes: ClassNames
    learned_classes: ClassNames

    @property
    def is_empty(self) -> bool:
        """See `EventPayload.is_empty`."""
        return not self.context_classes and not self.learned_classes

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        if self.context_classes:
            yield f"context {', '.join(self.context_classes)}"
        if self.learned_classes:
            yield f"learned {', '.join(self.learned_classes)}"
