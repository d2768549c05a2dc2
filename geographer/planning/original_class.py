"""Original class: the user column that keeps the class of a feature before its first remap."""

from typing import Final

from geographer.planning.user_columns import deduplicate_column_names
from geographer.storage.queries.revision import Revision

_COLUMN: Final = "original_class"
_RECORDED: Final = (
    "SELECT DISTINCT name FROM (SELECT unnest(json_keys(payload->'$.columns')) AS name FROM chain_event "
    "WHERE kind = 'classes_remapped' AND position <= getvariable('position')) "
    "WHERE regexp_full_match(name, 'original_class_*') ORDER BY name"
)


def list_original_class_columns(revision: Revision) -> set[str]:
    """Return the columns to which remaps wrote the original class; input data must not bring values for them."""
    return {name for (name,) in revision.fetch_rows(_RECORDED)}


def choose_original_class_column(revision: Revision) -> str:
    """Return the column for the original class: that of earlier remaps, else a new one."""
    if recorded := list_original_class_columns(revision):
        return min(recorded)
    return deduplicate_column_names([_COLUMN], revision.list_user_columns("feature"))[_COLUMN]
