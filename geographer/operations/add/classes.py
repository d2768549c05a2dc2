"""Add classes after the existing ones."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from geographer.base.errors import ConflictError, UsageError, quote_objects
from geographer.base.parameters import Parameter
from geographer.operations.add.events import ClassesAdded
from geographer.planning.class_values import (
    CLASS_NAMES_SCHEMA,
    make_class_rows,
    number_classes,
    read_class_values,
    read_ignored_values,
)
from geographer.planning.context_event import ContextClassesChanged
from geographer.planning.shared_parameters import list_values
from geographer.storage.events.payload import EventPayload
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request


class AddClasses(Request, frozen=True):
    """Add classes after the existing ones; each gets the next value.

    Labels do not draw features of --context classes; see geographer classes context.
    """

    event: ClassVar[type[ClassesAdded]] = ClassesAdded
    other_events: ClassVar[tuple[type[EventPayload], ...]] = (ContextClassesChanged,)
    example = "add classes reed peat"

    names: Annotated[
        Sequence[str],
        Parameter(
            *("The classes.", "NAME..."),
            cli="arguments",
            convert=list_values,
            key="classes",
            schema=CLASS_NAMES_SCHEMA,
            kind="new name",
        ),
    ]
    context: Annotated[bool, Parameter("Let the classes be context: labels do not draw them.", key=None)] = False

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the addition; raise `ConflictError` if a class exists or is repeated, `UsageError` if one is empty."""
        if not all(self.names):
            raise UsageError("a class name is empty. Give every class a name.")
        existing = read_class_values(revision)
        if conflicts := sorted({name for name in self.names if name in existing or self.names.count(name) > 1}):
            classes = quote_objects("class", conflicts, "is|are")
            raise ConflictError(f"{classes} in the dataset already, or repeated. Leave it out.")
        values = number_classes(existing, self.names, read_ignored_values(revision))
        rows = {"class_change": make_class_rows(values)}
        if not self.context:
            return Change(ClassesAdded(classes=[*self.names]), rows)
        names = [*self.names]
        return Change(ContextClassesChanged(classes=names, context_classes=names, learned_classes=[]), rows)
