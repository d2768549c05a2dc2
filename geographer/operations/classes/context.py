"""Mark classes as context classes, or as learned ones again: `context_classes_changed`."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from geographer.base.errors import NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.parameters import Parameter
from geographer.planning.class_values import read_class_values
from geographer.planning.context_classes import read_context_classes
from geographer.planning.context_event import ContextClassesChanged
from geographer.planning.shared_parameters import list_values
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request


class SetContextClasses(Request, frozen=True):
    """Let classes be context: their features stay in the dataset and its graph, but labels do not draw them.

    A context class keeps its value. Labels that drew it are made again by update, and those with a band for each class
    lose its band. Splits and cuts do not change: leave such features out with --where. With --remove, labels draw the
    classes again. Classes are no part of it by value: the content digest changes only with the labels.
    """

    event: ClassVar[type[ContextClassesChanged]] = ContextClassesChanged
    example = "classes context cloud shadow"

    names: Annotated[
        Sequence[str],
        Parameter("The classes.", "NAME...", cli="arguments", convert=list_values, key=None, kind="class"),
    ]
    remove: Annotated[bool, Parameter("Let labels draw the classes again.", key=None)] = False

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the event with the classes that change.

        Raises:
            NotFoundError: There is no such class.
            UsageError: No class is named, or one is the background, which erases in labels.
        """
        if not self.names:
            raise UsageError("no class is named. Name at least one; see geographer classes list.")
        values = read_class_values(revision)
        if unknown := [name for name in self.names if name not in values]:
            names = quote_names([*values]) if values else "none yet"
            raise NotFoundError(f"no class {quote_names(unknown)}. The classes are: {names}.")
        if background := [name for name in self.names if values[name] == 0]:
            raise UsageError(f"{quote_objects('class', background, 'is|are')} the background, which erases in labels.")
        context = read_context_classes(revision.connection, revision.position).names
        changed = sorted({name for name in self.names if (name in context) == self.remove})
        marked, unmarked = ([], changed) if self.remove else (changed, [])
        return Change(ContextClassesChanged(classes=[], context_classes=marked, learned_classes=unmarked))
