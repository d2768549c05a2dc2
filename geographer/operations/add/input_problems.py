"""Input problems: why a row of input cannot be added, by the code that the SQL checks report."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, NoReturn

from geographer.base.errors import ConflictError, GeographerError, UsageError, quote_names
from geographer.storage.log.row_tables import make_row_table


class InputProblem(NamedTuple):
    """A problem of an input row. Reasons of features are recorded in `skipped_input` and must not change."""

    reason: str
    error: type[GeographerError] = UsageError
    remedy: str = "Correct the input"


FEATURE_PROBLEMS: Final = {
    "no_geometry": InputProblem("it has no geometry"),
    "empty_geometry": InputProblem("its geometry is empty"),
    "no_id": InputProblem("it has no id"),
    "geometry_collection": InputProblem("its geometry is a collection: use points, lines or polygons"),
    "not_finite": InputProblem("its coordinates are not finite"),
    "outside_lonlat": InputProblem("its coordinates are out of range: longitude is -180 to 180, latitude -90 to 90"),
    "outside_crs": InputProblem("its coordinates are out of range for its CRS"),
    "invalid_geometry": InputProblem("its geometry is invalid: see ST_IsValid, or repair it with make_valid"),
    "repeated_id": InputProblem("its id stands twice in the file", ConflictError),
    "existing_id": InputProblem("its id is in the dataset already", ConflictError, "Pass --replace"),
}
"""Problems that check_features.sql reports."""

FOOTPRINT_PROBLEMS: Final = {
    "no_id": InputProblem("it has no id"),
    "no_footprint": InputProblem("it has no footprint"),
    "not_polygon": InputProblem("its footprint is not a polygon"),
    "not_finite": InputProblem("the coordinates of its footprint are not finite"),
    "invalid_footprint": InputProblem("its footprint is invalid"),
    "outside_crs": InputProblem("its footprint is out of range", remedy="Pass its CRS with --crs"),
    "repeated_id": InputProblem("its id occurs more than once in the file", ConflictError),
    "existing_id": InputProblem("its id is already in the dataset", ConflictError, "Change the id"),
}
"""Problems that check_footprints.sql reports."""


def raise_first_problem(
    source: str, rows: list[tuple[str, str]], problems: dict[str, InputProblem], alternative: str = ""
) -> NoReturn:
    """Raise the error for the first of `rows` (name, problem code); the message lists the rows with that problem.

    `alternative` follows the remedy in the message.
    """
    code = rows[0][1]
    names = [name for name, row_code in rows if row_code == code]
    others = f" (other problems: {len(rows) - len(names):,} rows)" if len(rows) > len(names) else ""
    problem = problems[code]
    raise problem.error(
        f"cannot add {quote_names(names)} from '{source}': {problem.reason}{others}. {problem.remedy}{alternative}."
    )


def make_skipped_rows(source: str, skipped: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the rows, by log table, of skipped inputs (name, reason)."""
    if not skipped:
        return {}
    names, reasons = map(list, zip(*skipped, strict=True))
    columns = {"input": [source] * len(skipped), "name": names, "reason": reasons}
    return {"skipped_input": make_row_table("skipped_input", columns)}
