"""Input problems: why a row of input cannot be used, by the code that SQL checks report; the code decides the error."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from geographer.base.errors import GeographerError, UsageError, quote_names
from geographer.storage.events.row_tables import make_row_table

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

_MAX_REASONS: Final = 3
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


def warn_of_skipped_input(source: str, skipped: NamedTexts) -> None:
    """Log that nothing is recorded because every input was skipped, with the most frequent reasons."""
    reasons = Counter(reason for _, reason in skipped).most_common(_MAX_REASONS)
    texts = "; ".join(f"{reason} ({count:,})" for reason, count in reasons)
    names = quote_names([name for name, _ in skipped])
    logger.warning("nothing of '%s' was added: %s skipped: %s", source, names, texts)


def omit_lone_skips(source: str, rows: "Mapping[str, pa.Table | str]") -> "Mapping[str, pa.Table | str]":
    """Return an event's rows by log table; none, with a logged warning, if they only say what was skipped."""
    if {*rows} != {"skipped_input"} or isinstance(table := rows["skipped_input"], str):
        return rows
    warn_of_skipped_input(source, list(zip(*(table[name].to_pylist() for name in ("name", "reason")), strict=True)))
    return {}


def make_skipped_rows(source: str, skipped: NamedTexts) -> "dict[str, pa.Table]":
    """Return the rows, by log table, of skipped inputs (name, reason), without credentials."""
    from geographer.base.redaction import redact_column_value, redact_text

    if not skipped:
        return {}
    names, reasons = ([redact_column_value("", text) for text in texts] for texts in zip(*skipped, strict=True))
    columns = {"input": [redact_text(source)] * len(skipped), "name": names, "reason": reasons}
    return {"skipped_input": make_row_table("skipped_input", columns)}
