"""Filters of tables: the keyword arguments that all methods that read a table share, declared once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, Signature, cleandoc, signature
from typing import Any, Concatenate, Final, ParamSpec, TypedDict, TypeVar, cast

from geographer.dataset.ids import read_ids
from geographer.storage.queries.selection import Relation, TableFilter

RevisionSpec = str | int | None
"""A revision: a tag, a digest prefix, `@17`, `HEAD~2`, a date, a position; None is the head."""
Ids = str | int | Iterable[str | int]

P = ParamSpec("P")
Owner = TypeVar("Owner")
Result = TypeVar("Result")
FilterMethod = Callable[[Owner, str, RevisionSpec, TableFilter], Result]

_ARGUMENTS: Final = """
Args:
    at: The revision: a tag, a digest prefix, `@17`, `HEAD~2`, a date, a position; None: the head.
    where: An SQL expression over the columns, which is true.
    feature: Rows that concern this feature, or these: one id or many (100,000 in one query).
    raster: Rows that concern this raster, or these.
    relation: 'contains' or 'intersects': consider only pairs of features and rasters with this relation.
    columns: The columns to return, in this order; None: all.
    limit: The largest number of rows; None: all.
    values: Values that columns have, by name, such as `part="train"`: one value, or a list of those allowed; None is
        a missing value. A column whose name is a Python keyword or that of another argument gets an underscore:
        `class_="lake"`.

Raises:
    NotFoundError: there is no such revision, feature or raster, or `where` names an unknown column.
    UsageError: a column does not exist (the message lists those that do), or cannot have the value; `where` is not one
        SQL expression.
"""


class Filters(TypedDict, total=False):
    """The filters with fixed names; see `select_rows`."""

    where: str | None
    feature: Ids | None
    raster: Ids | None
    relation: Relation | None
    columns: Sequence[str] | None
    limit: int | None


def select_rows(
    at: RevisionSpec = None,
    *,
    where: str | None = None,
    feature: Ids | None = None,
    raster: Ids | None = None,
    relation: Relation | None = None,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    **values: Any,
) -> None:
    """Declare the arguments of the methods that read a table."""


def make_filter(arguments: dict[str, Any]) -> TableFilter:
    """Return the table filter of keyword arguments; one id or many, integers as text."""
    named: dict[str, Any] = {name: arguments[name] for name in Filters.__annotations__ if name in arguments}
    for name in ("feature", "raster"):
        if named.get(name) is not None:
            named[name] = read_ids(named[name])
    values = {name: value for name, value in arguments.items() if name not in named}
    return TableFilter(**named, values=values)


def accept_filters(
    declaration: Callable[P, None],
) -> Callable[
    [Callable[[Owner, str, RevisionSpec, TableFilter], Result]], Callable[Concatenate[Owner, str, P], Result]
]:
    """Return a decorator of a method of a table's name, a revision and a filter: it takes the declared arguments."""

    def make_method(
        method: Callable[[Owner, str, RevisionSpec, TableFilter], Result],
    ) -> Callable[Concatenate[Owner, str, P], Result]:
        @wraps(method)
        def read_rows(owner: Owner, /, *args: Any, **kwargs: Any) -> Result:
            name, *others = args or (kwargs.pop("name", None),)
            at, arguments = _split_arguments(others, kwargs)
            return method(owner, name, at, make_filter(arguments))

        read_rows.__doc__ = f"{cleandoc(method.__doc__ or '')}\n{_ARGUMENTS}"
        _declare_signature(read_rows, declaration, method, "self", "name")
        return cast("Callable[Concatenate[Owner, str, P], Result]", read_rows)

    return make_method


def make_table_method(
    name: str, documentation: str, declaration: Callable[P, None], read: Callable[Concatenate[Owner, str, P], Result]
) -> Callable[Concatenate[Owner, P], Result]:
    """Return the method that reads the table `name` with `read`, and takes the declared arguments."""

    def read_named_table(owner: Owner, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return read(owner, name, *args, **kwargs)

    read_named_table.__name__, read_named_table.__qualname__ = name, f"TableReader.{name}"
    read_named_table.__doc__ = f"{cleandoc(documentation)}\n{_ARGUMENTS}"
    _declare_signature(read_named_table, declaration, read, "self")
    return read_named_table


def _split_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[RevisionSpec, dict[str, Any]]:
    """Return the revision and the filters among the arguments of `select_rows`."""
    arguments = dict(kwargs)
    if len(args) > 1 or (args and "at" in arguments):
        raise TypeError("filters are keyword arguments, such as where=…; only the revision is a positional one")
    return args[0] if args else arguments.pop("at", None), arguments


def _declare_signature(
    method: Any, declaration: Callable[..., None], returning: Callable[..., Any], *first: str
) -> None:
    """Let a method show the arguments that it takes, and that it returns what `returning` does."""
    leading = [Parameter(name, Parameter.POSITIONAL_ONLY) for name in first]
    parameters = [*leading, *signature(declaration).parameters.values()]
    method.__signature__ = Signature(parameters, return_annotation=signature(returning).return_annotation)
