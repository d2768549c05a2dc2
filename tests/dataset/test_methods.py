"""Methods of `Dataset` that are made from request classes: real signatures, documentation, and the same request."""

from __future__ import annotations

import inspect

import pytest

from geographer import Dataset
from geographer.base.parameters import list_parameters
from geographer.operations.cut.around import CutAround
from geographer.storage.request import list_request_classes


def test_method_has_the_declared_signature():
    signature = inspect.signature(Dataset.cut_around_features)
    assert [*signature.parameters][:2] == ["self", "name"]
    assert signature.parameters["target_count"].default == 1
    assert {"size", "where", "message", "dry_run", "workers", "replace"} <= signature.parameters.keys()
    assert all(
        parameter.kind is inspect.Parameter.KEYWORD_ONLY for name, parameter in [*signature.parameters.items()][2:]
    )


def test_method_documents_every_parameter():
    text = Dataset.cut_around_features.__doc__ or ""
    assert text.startswith("Cut chips around features.")
    assert all(f"    {parameter.name}: " in text for parameter in list_parameters(CutAround))


def test_type_checkers_see_the_signature(dataset: Dataset):
    """Mypy reports an ignored error that does not exist: both calls must be errors."""
    with pytest.raises(TypeError, match="colour"):
        dataset.cut_around_features("chips", size=16, colour="blue")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="size"):
        dataset.cut_grid("chips")  # type: ignore[call-arg]


def test_method_and_request_are_the_same(dataset):
    dataset.add_classes(["reed"], message="more")
    event = dataset.show()
    assert (event.kind, event.message) == ("classes_added", "more")
    assert event.payload["request"] == {"classes": ["reed"]}


def test_every_parameter_is_declared_with_help():
    for request_class in list_request_classes():
        declared = list_parameters(request_class)
        assert {item.name for item in declared} == set(request_class.__struct_fields__), request_class
        assert all(item.declaration.help.endswith(".") for item in declared), request_class


def test_signature_is_readable():
    text = str(inspect.signature(Dataset.cut_around_features))
    assert "Annotated" not in text
    assert "mode: Literal['centered', 'random', 'variable'] = 'centered'" in text.replace("typing.", "")
