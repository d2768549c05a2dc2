"""Class values: the classes of a revision, and the values of those that an event adds."""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta

from geographer.base.errors import ConflictError, quote_objects
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

ClassNames = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(extra_json_schema={"uniqueItems": True})]
CLASS_NAMES_SCHEMA: Final = {"$ref": "event.v1.json#/$defs/class_names"}


def read_class_values(revision: Revision) -> dict[str, int]:
    """Return the classes with their values; 0 is the background."""
    return dict(revision.fetch_rows("SELECT class, value FROM classes"))


def number_classes(
    existing: Mapping[str, int], incoming: Mapping[str, int] | Iterable[str], conflict: str = ""
) -> dict[str, int]:
    """Return the `incoming` classes that do not exist yet: 0 stays 0 (background), others get the next free values.

    `ConflictError` if a class is the background on one side only; `conflict` names both sides and a remedy.
    """
    wanted = incoming if isinstance(incoming, Mapping) else dict.fromkeys(incoming, 1)
    if clashing := [name for name in wanted if name in existing and (existing[name] == 0) != (wanted[name] == 0)]:
        raise ConflictError(f"{quote_objects('class', clashing, 'is|are')} the background in only one of {conflict}")
    values = count(max(existing.values(), default=0) + 1)
    return {name: next(values) if value else 0 for name, value in wanted.items() if name not in existing}


def make_class_rows(values: Mapping[str, int]) -> "pa.Table":
    """Return log rows that add classes with these values; `UsageError` if a name holds a credential."""
    from geographer.base.redaction import require_no_credentials

    require_no_credentials("class name", values)
    return make_row_table("class_change", {"class": [*values], "value": [*values.values()]})
