"""Class values: the classes of a revision, and the values of those that an event adds."""

from collections.abc import Collection, Iterable, Mapping
from itertools import count
from typing import Annotated, Final, Literal

from msgspec import Meta

from geographer.base.errors import ConflictError, UsageError, quote_objects
from geographer.storage.events.plain_rows import PlainRows
from geographer.storage.queries.revision import Revision

ClassNames = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(extra_json_schema={"uniqueItems": True})]
MAX_MASK_VALUE: Final = 65_535
"""The largest value of a class, or of pixels to ignore, in a mask."""
_MAX_BYTE: Final = 255
_IGNORED_VALUES: Final = (
    "SELECT DISTINCT TRY_CAST(parameters->>'$.ignore' AS BIGINT) AS value FROM recipes WHERE kind LIKE 'label %' "
    "AND value IS NOT NULL"
)
CLASS_NAMES_SCHEMA: Final = {"$ref": "event.v1.json#/$defs/class_names"}


def read_class_values(revision: Revision) -> dict[str, int]:
    """Return the classes with their values; 0 is the background."""
    return dict(revision.fetch_rows("SELECT class, value FROM classes"))


def read_ignored_values(revision: Revision) -> set[int]:
    """Return the values of pixels to ignore in labels: no new class gets one of them."""
    return {value for (value,) in revision.fetch_rows(_IGNORED_VALUES)}


def number_classes(
    existing: Mapping[str, int],
    incoming: Mapping[str, int] | Iterable[str],
    ignored: Collection[int],
    conflict: str = "",
) -> dict[str, int]:
    """Return the `incoming` classes that do not exist yet: 0 stays 0 (background), others get the next free values.

    No class gets one of the values `ignored`, which labels have where pixels are to be ignored.

    `ConflictError` if a class is the background on one side only; `conflict` names both sides and a remedy.
    """
    wanted = incoming if isinstance(incoming, Mapping) else dict.fromkeys(incoming, 1)
    if clashing := [name for name in wanted if name in existing and (existing[name] == 0) != (wanted[name] == 0)]:
        raise ConflictError(f"{quote_objects('class', clashing, 'is|are')} the background in only one of {conflict}")
    values = (value for value in count(max(existing.values(), default=0) + 1) if value not in ignored)
    return {name: next(values) if value else 0 for name, value in wanted.items() if name not in existing}


def make_class_rows(values: Mapping[str, int]) -> PlainRows:
    """Return log rows that add classes with these values; `UsageError` if a name holds a credential."""
    from geographer.base.redaction import require_no_credentials

    require_no_credentials("class name", values)
    return PlainRows("class_change", {"class": [*values], "value": [*values.values()]})


def choose_mask_dtype(values: Mapping[str, int], ignore: int | None) -> Literal["uint8", "uint16"]:
    """Return the pixel type of masks of classes with these values, and of a value of pixels to ignore.

    Raise `UsageError` if a value exceeds uint16, or `ignore` is the value of a class.
    """
    if (name := next((name for name, value in values.items() if value == ignore), None)) is not None:
        raise UsageError(f"ignore value {ignore} is the value of class '{name}'. Choose another --ignore.")
    largest = max([ignore or 0, *values.values()])
    if largest > MAX_MASK_VALUE:
        raise UsageError(f"class value {largest} does not fit a mask. Give the class one of at most {MAX_MASK_VALUE}.")
    return "uint8" if largest <= _MAX_BYTE else "uint16"
