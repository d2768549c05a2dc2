"""Create a dataset: the first event of its log."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Final

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.planning.class_values import ClassNames, make_class_rows
from geographer.planning.shared_parameters import list_values
from geographer.storage.events.payload import EventPayload
from geographer.storage.request import Change, Request

_CLASSES: Final = Parameter(
    "A class; values are 1, 2, 3 … in this order.",
    *("NAME", "the classes of the features", "--class"),
    convert=list_values,
    key=None,
    cli="list",
)


class DatasetInitialised(EventPayload, kw_only=True, frozen=True):
    """A dataset was created; its log begins."""

    kind: ClassVar[str] = "dataset_initialised"
    tables: ClassVar[tuple[str, ...]] = ("class_change",)
    has_request: ClassVar[bool] = False

    classes: ClassNames
    background: str | None


class CreateDataset(Request, kw_only=True, frozen=True):
    """Create a dataset in a folder.

    The folder becomes a DVC repository, which uses Git if the folder lies in a Git repository.
    """

    event: ClassVar[type[DatasetInitialised]] = DatasetInitialised
    example = "init glaciers --class glacier -m 'glaciers of the Front Range'"

    classes: Annotated[Sequence[str], _CLASSES] = ()
    background: Annotated[
        str | None, Parameter("A class with value 0, whose features erase others in masks.", "NAME", key=None)
    ] = None
    context_classes: Annotated[
        Sequence[str],
        Parameter(
            "A class that labels do not draw, after the other ones.",
            *("NAME", "none", "--context-class"),
            convert=list_values,
            key=None,
            cli="list",
        ),
    ] = ()

    def make_change(self) -> Change:
        """Return the first change of the log; raise `UsageError` if a class name is repeated or empty."""
        names = [*([self.background] if self.background else []), *self.classes]
        every = [*names, *self.context_classes]
        if len(set(every)) < len(every) or not all(every):
            raise UsageError(
                "a class name is repeated or empty. Give each --class, --background and --context-class once."
            )
        values = {name: value for value, name in enumerate(names, 0 if self.background else 1)}
        event = DatasetInitialised(classes=[*self.classes], background=self.background)
        return Change(event, {"class_change": make_class_rows(values)} if values else {})
