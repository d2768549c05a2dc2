"""Commands that make requests: their arguments and options come from the request's declared parameters."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
import msgspec
from msgspec import NODEFAULT

from geographer.base.errors import UsageError
from geographer.base.executors.executor import Executor
from geographer.base.parameters import Parameter, ParameterField, ParameterSet, list_parameters
from geographer.cli import COMMANDS, options, output
from geographer.cli.help import CommandGroup, RenamedOption, format_example
from geographer.cli.named_text import NamedText
from geographer.cli.workers import choose_workers, make_scheduler_option
from geographer.storage.request import Request

Requests = Mapping[str, type[Request]]

_NUMBERS: Final[Mapping[Any, Any]] = {int: (click.INT, click.IntRange), float: (click.FLOAT, click.FloatRange)}


def make_request_command(
    name: str,
    request_class: type[Request],
    *more: click.Parameter,
    run: Callable[..., None] | None = None,
    open_dataset: Callable[[str], Any] | None = None,
) -> click.Command:
    """Return the command that makes a request and prints what it changed.

    Args:
        name: The name of the command.
        request_class: The class of the request; its docstring is the help.
        more: Further parameters, for `run`.
        run: Called with the dataset, the request, `as_json` and the values of `more`. Default: run and print.
        open_dataset: Returns the dataset of the folder that the command works on. Default: one that runs the request,
            or for `run` a `Dataset`.
    """
    open_folder = open_dataset or (options.open_dataset if run else options.open_changeable_dataset)

    def run_command(as_json: bool, **values: Any) -> None:
        if "scheduler" in values:
            name = next(item.name for item in list_parameters(request_class) if Executor in item.union_types)
            values[name] = choose_workers(values[name], values.pop("scheduler"))
        extra = {parameter.name: values.pop(parameter.name) for parameter in more if parameter.name}
        try:
            request = request_class(**values)
        except UsageError as error:
            raise click.UsageError(str(error)) from error
        dataset = open_folder(click.get_current_context().obj)
        if run:
            run(dataset, request, as_json=as_json, **extra)
        else:
            output.print_result(dataset.run(request), as_json=as_json)

    as_json_option = click.Option(["--json", "as_json"], is_flag=True, help=options.JSON_HELP)
    return click.Command(
        name,
        callback=run_command,
        params=[*list_command_parameters(request_class), *more, as_json_option],
        help=inspect.cleandoc(request_class.__doc__ or ""),
        epilog=format_example(request_class.example),
    )


def make_request_group(name: str, example: str, requests: Requests, note: str = "") -> CommandGroup:
    """Return the group `name` of the commands that make `requests`; the key `custom own` has `own` as a hidden name."""
    group = CommandGroup(name, help=f"{COMMANDS[name][1]}\n\n{note}".strip(), epilog=format_example(example))
    for names, request_class in requests.items():
        command, _, old_name = names.partition(" ")
        group.add_command(make_request_command(command, request_class), old_name=old_name)
    return group


def list_command_parameters(request_class: type[ParameterSet], *names: str) -> list[click.Parameter]:
    """Return arguments, then options, all or of `names`: required ones, those of the class, then those of its bases."""
    fields = {field.name: field for field in msgspec.structs.fields(request_class)}
    bases = enumerate(reversed(request_class.__mro__))
    depth = {name: -index for index, base in bases for name in vars(base).get("__annotations__", ())}
    declared = [
        item
        for item in list_parameters(request_class)
        if item.declaration.cli != "none" and (not names or item.name in names)
    ]
    rank = {name: (not field.required, depth[name]) for name, field in fields.items()}
    declared.sort(key=lambda item: (-1, 0) if item.declaration.cli.startswith("argument") else rank[item.name])
    return [parameter for item in declared for parameter in _make_parameters(item, fields[item.name])]


def _make_parameters(item: ParameterField, field: msgspec.structs.FieldInfo) -> list[click.Parameter]:
    """Return the argument or option of a declared parameter; of one that says who works, --workers and --scheduler."""
    if Executor not in item.union_types:
        return [make_parameter(item, field)]
    declared = item.declaration
    shown = {"metavar": declared.metavar, "help": declared.help}
    count = click.Option([item.main_flag], type=click.IntRange(1), show_default=declared.default, **shown)  # type: ignore[arg-type]
    return [count, make_scheduler_option()]


def make_parameter(item: ParameterField, field: msgspec.structs.FieldInfo) -> click.Parameter:
    """Return the argument or option of a declared parameter."""
    declared = item.declaration
    if declared.cli.startswith("argument"):
        nargs = -1 if declared.cli == "arguments" else 1
        return click.Argument(
            [item.name], metavar=declared.metavar, nargs=nargs, required=field.required, type=_choose_type(item)
        )
    flags = declared.flags.split() or [item.main_flag]
    option_class = RenamedOption if len(flags) > 1 and flags[0].startswith("--") else click.Option
    if bool in item.union_types:
        names, default = [*flags, item.name], field.default
        return option_class(names, is_flag=True, flag_value=not default, default=default, help=declared.help)
    default = field.default if declared.cli_default is None else declared.cli_default
    has_default = default not in (None, (), NODEFAULT)
    is_repeatable = declared.cli in ("list", "pairs")
    callback = _make_callback(declared, is_repeatable=is_repeatable)
    return option_class(
        [*flags, item.name],
        metavar=declared.metavar or None,
        help=f"{declared.help} Repeatable." if is_repeatable else declared.help,
        required=field.required,
        multiple=is_repeatable,
        type=_choose_type(item) if callback is None or declared.kind else None,
        callback=callback,
        # To click, a default of None is a value: a required option would be optional.
        **({"default": default} if has_default else {}),
        show_default=not field.required and (True if has_default and declared.default == "none" else declared.default),
    )


def _choose_type(item: ParameterField) -> "click.ParamType[Any] | None":
    """Return the type of a number or a choice; None: text."""
    declared = item.declaration
    if declared.kind:
        return NamedText(declared.kind)
    if choices := item.find_choices():
        return click.Choice(choices)
    for kind, (plain_type, range_type) in _NUMBERS.items():
        if kind in item.union_types and str not in item.union_types:
            has_bounds = declared.minimum is not None
            bounded: click.ParamType[Any] = range_type(declared.minimum, declared.maximum, declared.is_above)
            return bounded if has_bounds else plain_type
    return None


def _make_callback(
    declared: Parameter, *, is_repeatable: bool
) -> Callable[[click.Context, click.Parameter, Any], Any] | None:
    """Return what parses the texts of an option; None: click does."""

    def parse_texts(_context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        if declared.cli == "pairs":
            return options.parse_pairs(value, declared.metavar)
        if declared.parse is None or value is None:
            return value
        try:
            return tuple(map(declared.parse, value)) if is_repeatable else declared.parse(value)
        except (UsageError, ValueError, OverflowError) as error:
            raise click.BadParameter(str(error)) from error

    return parse_texts if declared.parse or declared.cli == "pairs" else None
