"""Attributes: named JSON values that users keep with the dataset, such as the sensor or the resolution."""

from collections.abc import Mapping
from typing import Any, Final

from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import UsageError
from geographer.base.python_values import make_python_value
from geographer.base.redaction import is_secret_name, require_no_credentials
from geographer.base.text import is_unicode, quote_start
from geographer.planning.declarations import read_declarations
from geographer.storage.queries.revision import Revision

ATTRIBUTES_EVENT: Final = "attributes_changed"
_MAX_NAME: Final = 100
_MAX_CHARACTERS: Final = 65_536
_MAX_DEPTH: Final = 32


def read_attributes(revision: Revision) -> dict[str, Any]:
    """Return the attributes at a revision, by name, in alphabetical order."""
    attributes: dict[str, Any] = {}
    for declaration in read_declarations(revision.plain_connection, [ATTRIBUTES_EVENT], revision.position):
        attributes |= declaration.payload["attributes"]
        for name in declaration.payload["removed"]:
            attributes.pop(name, None)
    return dict(sorted(attributes.items()))


def require_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as values of Python that the log can keep.

    Raises:
        UsageError: a name is empty or too long, a value is null or no JSON, or one of them holds a credential.
    """
    attributes = {}
    for name, given in values.items():
        if not isinstance(name, str) or not name.strip() or len(name) > _MAX_NAME or not is_unicode(name):
            raise UsageError(f"invalid name of an attribute {name!r}. Use a text of 1 to {_MAX_NAME} characters.")
        value = _convert_to_json(name, given)
        if value is None:
            raise UsageError(f"attribute '{name}' has no value. Give it one, or remove it: attributes remove.")
        _require_no_secrets(name, name, value)
        attributes[name] = value
    return attributes


def _convert_to_json(name: str, given: Any) -> Any:
    """Return a value as its canonical JSON has it; `UsageError` if JSON cannot hold it."""
    advice = "Use a text, a finite number below 2^53, true, false, a list or an object of such values"
    if not _is_shallow(given):
        raise UsageError(f"attribute '{name}' has more than {_MAX_DEPTH} levels of lists and objects. Simplify it.")
    try:
        text = canonical_json(make_python_value(given))
    except (UsageError, TypeError, ValueError, UnicodeError) as error:
        raise UsageError(f"attribute '{name}' has a value that JSON cannot hold. {advice}.") from error
    if len(text) > _MAX_CHARACTERS:
        raise UsageError(
            f"attribute '{name}' has {len(text):,} characters; at most {_MAX_CHARACTERS:,} are allowed. Keep it in a "
            "file, and record the file's name."
        )
    return parse_canonical_json(text)


def _is_shallow(value: Any, depth: int = _MAX_DEPTH) -> bool:
    """Return whether lists and objects are nested at most `depth` deep."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in inner)


def _require_no_secrets(attribute: str, name: str, value: Any) -> None:
    """Raise `UsageError` if a name says that its value is a credential, or a text holds one, at any depth."""
    require_no_credentials("attribute", [name])
    if is_secret_name(name):
        raise UsageError(
            f"attribute '{quote_start(attribute)}' would keep a credential ('{name}') in the log. Leave it out."
        )
    if isinstance(value, Mapping):
        for inner_name, inner in value.items():
            _require_no_secrets(attribute, inner_name, inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _require_no_secrets(attribute, name, inner)
    elif isinstance(value, str):
        require_no_credentials(f"value of the attribute '{attribute}',", [value])
