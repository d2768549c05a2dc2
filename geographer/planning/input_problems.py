"""Input problems: why a row of input cannot be used, by the code that SQL checks report; the code decides the error."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from geographer.base.errors import GeographerError, UsageError, quote_names
from geographer.storage.events.row_tables import make_row_table

if TYPE_CHECKING:
    import pyarrow as pa

NamedTexts = Sequence[tuple[str, str]]
"""The names of input rows, each with the code of its problem, or with the reason in words."""


class InputProblem(NamedTuple):
    """A problem of an input row: what the message says, the error to raise, and the remedy."""

    reason: str
    error: type[GeographerError] = UsageError
    remedy: str = "Correct the input"


def raise_first_problem(
    action: str, source: str, rows: NamedTexts, problems: Mapping[str, InputProblem], alternative: str = ""
) -> NoReturn:
    """Raise the error for the first of `rows` (name, problem code); the message lists the rows with that problem.

    `action` is what cannot be done with a row, such as 'add'. `alternative` follows the remedy in the message.
    """
    names = [name for name, code in rows if code == rows[0][1]]
    others = f" (other problems: {len(rows) - len(names):,} rows)" if len(rows) > len(names) else ""
    reason, error, remedy = problems[rows[0][1]]
    raise error(f"cannot {action} {quote_names(names)} from '{source}': {reason}{others}. {remedy}{alternative}.")


def make_skipped_rows(source: str, skipped: NamedTexts) -> "dict[str, pa.Table]":
    """Return the rows, by log table, of skipped inputs (name, reason), without credentials."""
    from geographer.base.redaction import redact_column_value, redact_text

    if not skipped:
        return {}
    names, reasons = ([redact_column_value("", text) for text in texts] for texts in zip(*skipped, strict=True))
    columns = {"input": [redact_text(source)] * len(skipped), "name": names, "reason": reasons}
    return {"skipped_input": make_row_table("skipped_input", columns)}
