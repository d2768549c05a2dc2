"""Class values: number the classes that an event adds."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from geographer.base.errors import ConflictError, quote_objects
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    from collections.abc import Mapping


def number_classes(existing: Mapping[str, int], incoming: Mapping[str, int], conflict: str = "") -> dict[str, int]:
    """Return the `incoming` classes that do not exist yet: 0 stays 0 (background), others get the next free values.

    Raises:
        ConflictError: A class is the background on one side only; `conflict` names both sides and a remedy.
    """
    clashing = [name for name, value in incoming.items() if name in existing and (existing[name] == 0) != (value == 0)]
    if clashing:
        raise ConflictError(f"{quote_objects('class', clashing, 'is|are')} the background in only one of {conflict}")
    values = count(max(existing.values(), default=0) + 1)
    return {name: next(values) if value else 0 for name, value in incoming.items() if name not in existing}


def make_class_rows(values: Mapping[str, int]) -> Any:
    """Return log rows that add classes with these values."""
    return make_row_table("class_change", {"class": [*values], "value": [*values.values()]})
