"""Methods of `Dataset` that make requests: signature and documentation come from the request's declared parameters."""

import inspect
from collections.abc import Callable
from textwrap import fill
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from geographer.base.parameters import list_parameters
from geographer.dataset.old_names import replace_old_arguments
from geographer.storage.request import Request

if TYPE_CHECKING:
    from geographer.dataset import Dataset

P = ParamSpec("P")
R = TypeVar("R", bound=Request)
Result = TypeVar("Result")


def make_method(
    name: str, request_class: Callable[P, R], run: Callable[["Dataset", R], Result]
) -> Callable[Concatenate["Dataset", P], Result]:
    """Return the method `name` of `Dataset`: it takes the parameters of a request, makes the request and runs it."""

    def run_method(dataset: "Dataset", /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return run(dataset, request_class(*args, **replace_old_arguments(kwargs)))

    run_method.__name__, run_method.__qualname__ = name, f"Dataset.{name}"
    run_method.__doc__ = format_docstring(request_class)
    owner = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    fields = inspect.signature(request_class).parameters.values()
    # Without the declarations, which would make the text of the signature unreadable.
    parameters = [
        field.replace(annotation=getattr(field.annotation, "__origin__", field.annotation)) for field in fields
    ]
    run_method.__signature__ = inspect.Signature([owner, *parameters])  # type: ignore[attr-defined]
    return run_method


def format_docstring(request_class: Callable[..., Request]) -> str:
    """Return the documentation of a request with its parameters, in Google style."""
    lines = [inspect.cleandoc(request_class.__doc__ or ""), "", "Args:"]
    if isinstance(request_class, type):
        for item in list_parameters(request_class):
            text = f"{item.name}: {item.declaration.help}"
            lines.append(fill(text, 112, initial_indent=" " * 4, subsequent_indent=" " * 8))
    return "\n".join(lines)
