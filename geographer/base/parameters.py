"""Parameters: each is declared once, with type, default, unit, help and validation, as an annotated field of a class.

The command line, the Python signature and its documentation, the log entry, its JSON Schema and the planner all read
that declaration.
"""

from collections.abc import Callable, Mapping
from copy import copy
from functools import cache, partial
from os import PathLike, fspath
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT

from geographer.base.errors import UsageError
from geographer.base.plugins import PluginRef
from geographer.base.python_values import make_python_value

_JSON_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string", NoneType: "null"}


class Parameter(NamedTuple):
    """The declaration of a parameter, beside its name, type and default value.

    Attributes:
        help: What it means, as one sentence or more; `--help` and the docstring show it.
        metavar: The unit or the form of the value, such as `METRES` or `NAME=FRACTION,…`.
        default: What help shows as default value where the default value is None or empty.
        flags: The options of the command line, older names last. Default: `--` and the name. Empty metavars: arguments.
        convert: Returns the value as planners use it, from any form that users may pass; raises `UsageError`.
        minimum: The smallest number that is allowed; or with `is_above`, the number that it must exceed.
        maximum: The largest number that is allowed.
        key: The name in the log, if it differs; None: not recorded.
        records_default: Whether the log records the default value, too; later parameters do not, so that requests
            recorded by older versions stay equal.
        schema: The JSON Schema of the recorded value; None: it follows from type and bounds.
        cli: How the command line takes it: an 'option', a 'list' (an option that can be repeated), 'pairs'
            (`KEY=VALUE`, repeatable), an 'argument', all further 'arguments', or 'none'.
        parse: Returns the value of the option's text, if that is not what `convert` does.
        cli_default: The default value of the command line, if it differs.
        since: The first version of the event's payload that records it; earlier ones do not have it.
        kind: What the value names, such as 'recipe' or 'class', if neither metavar nor name says so; a shell completes
            it. 'new name' is one that the dataset does not have.
    """

    help: str
    metavar: str = ""
    default: str = "none"
    flags: str = ""
    convert: Callable[[Any], Any] | None = None
    minimum: float | None = None
    maximum: float | None = None
    is_above: bool = False
    key: str | None = ""
    records_default: bool = True
    schema: Mapping[str, Any] | None = None
    cli: Literal["option", "list", "pairs", "argument", "arguments", "none"] = "option"
    parse: Callable[[str], Any] | None = None
    cli_default: Any = None
    since: int = 1
    kind: str = ""


class ParameterField(NamedTuple):
    """A parameter of a class: the name and the type of its field, its declaration, and what makes its default value."""

    name: str
    type: Any
    declaration: Parameter
    make_default: Callable[[], Any]

    @property
    def main_flag(self) -> str:
        """The option that sets it on the command line, which errors name."""
        words = self.declaration.flags.split() or [f"--{self.name.strip('_').replace('_', '-')}"]
        return next((word for word in words if word.startswith("--")), words[0])

    @property
    def log_key(self) -> str | None:
        """The name in the log; None: not recorded."""
        return self.name if self.declaration.key == "" else self.declaration.key

    @property
    def union_types(self) -> tuple[Any, ...]:
        """The types of a union; else the type."""
        return get_args(self.type) if get_origin(self.type) in (Union, UnionType) else (self.type,)

    def find_choices(self) -> tuple[str, ...]:
        """Return the values of a `Literal` type, without None."""
        literals = [kind for kind in self.union_types if get_origin(kind) is Literal]
        return tuple(value for kind in literals for value in get_args(kind) if value is not None)

    def convert_value(self, value: Any) -> Any:
        """Return the value as planners use it; `UsageError` if its form, choice or range is wrong."""
        choices = self.find_choices()
        if value is not None or NoneType not in self.union_types:
            value = self._convert_type(value)
        if choices and isinstance(value, str) and value not in choices:
            words = " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
            raise UsageError(f"invalid {self.main_flag} '{value}'. Use {words}.")
        if isinstance(value, int) and not isinstance(value, bool) and float in self.union_types:
            value = float(value)
        if isinstance(value, int | float) and not self._is_in_range(value):
            raise UsageError(f"invalid {self.main_flag} {value:g}. Use {self.describe_range()}.")
        return value

    def _convert_type(self, value: Any) -> Any:
        """Return the value with its declared type; values of numpy, pandas and Arrow, and paths, become Python's."""
        convert = self.declaration.convert
        is_scalar = all(kind in _JSON_TYPES or get_origin(kind) is Literal for kind in self.union_types)
        try:
            if convert is not None or is_scalar:
                value = make_python_value(value)
            if convert is not None:
                return convert(value)
            if not is_scalar:
                return value
            value = fspath(value) if isinstance(value, PathLike) else value
            if self.find_choices() and isinstance(value, str):
                return value
            return msgspec.convert(value, self.type, strict=True)
        except RecursionError as error:
            raise UsageError(f"{self.main_flag} has too many levels of lists and objects. Simplify it.") from error
        except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
            reason = f"{error}".removesuffix(".")
            raise UsageError(f"invalid {self.main_flag} {value!r}: {reason}. Use another value; see --help.") from error

    def describe_range(self) -> str:
        """Return the numbers that are allowed, in words."""
        low, high, noun = self.declaration.minimum, self.declaration.maximum, "a finite number"
        if low is None:
            return noun
        if high is not None:
            return f"a number from {low:g} to {high:g}"
        return f"a number above {low:g}" if self.declaration.is_above else f"{low:g} or more"

    def _is_in_range(self, value: float) -> bool:
        low, high = self.declaration.minimum, self.declaration.maximum
        is_high_enough = low is None or (value > low if self.declaration.is_above else value >= low)
        return abs(value) < float("inf") and is_high_enough and (high is None or value <= high)

    def make_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the recorded value."""
        if self.declaration.schema is not None:
            return dict(self.declaration.schema)
        values = [value for kind in self.union_types if get_origin(kind) is Literal for value in get_args(kind)]
        types = [_JSON_TYPES[kind] for kind in self.union_types if get_origin(kind) is not Literal]
        if values:
            return {"enum": [*values, *([None] if "null" in types else [])]}
        if types == ["boolean"] and not self.declaration.records_default:
            return {"const": True}
        bounds = {"exclusiveMinimum" if self.declaration.is_above else "minimum": self.declaration.minimum}
        bounds["maximum"] = self.declaration.maximum
        found = {name: bound for name, bound in bounds.items() if bound is not None}
        return {"type": types[0] if len(types) == 1 else types, **found}


@cache
def list_parameters(declaring_class: type[msgspec.Struct]) -> tuple[ParameterField, ...]:
    """Return the parameters of a class, those of its bases first."""
    found = []
    for field in msgspec.structs.fields(declaring_class):
        metadata = getattr(field.type, "__metadata__", ())
        if metadata and isinstance(metadata[0], Parameter):
            default = None if field.default is NODEFAULT else field.default
            make_default = partial(copy, default) if field.default_factory is NODEFAULT else field.default_factory
            found.append(ParameterField(field.name, get_args(field.type)[0], metadata[0], make_default))
    return tuple(found)


def join_schema(fields: Mapping[str, Mapping[str, Any]], required: list[str]) -> dict[str, Any]:
    """Return the JSON Schema of an object with exactly these fields."""
    return {"type": "object", "properties": dict(fields), "required": required, "additionalProperties": False}


class ParameterSet(msgspec.Struct, kw_only=True, frozen=True):
    """Base of classes that declare parameters: it converts their values, and returns those that are recorded."""

    def __post_init__(self) -> None:
        """Convert the values of all parameters; `UsageError` for one that is wrong."""
        for parameter in list_parameters(type(self)):
            value = getattr(self, parameter.name)
            # None means the default value.
            converted = parameter.convert_value(parameter.make_default() if value is None else value)
            if converted is not value:
                msgspec.structs.force_setattr(self, parameter.name, converted)

    def list_recorded_parameters(self) -> dict[str, Any]:
        """Return the parameters that are recorded, by their names there."""
        values = ((parameter, getattr(self, parameter.name)) for parameter in list_parameters(type(self)))
        return {
            parameter.log_key: to_json_value(value)
            for parameter, value in values
            if parameter.log_key is not None and (parameter.declaration.records_default or value)
        }


def to_json_value(value: Any) -> Any:
    """Return a parameter's value as the log records it; whole floats become integers."""
    if isinstance(value, PluginRef):
        return value.to_json()
    if isinstance(value, tuple | list):
        return [to_json_value(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
