"""Remove credentials that eodag was given from messages."""

import base64
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import permutations
from typing import Final
from urllib.parse import quote, quote_plus

from geographer.base.redaction import redact_text

_MIN_LENGTH: Final = 4
"""Shorter values would match parts of ordinary words, and are too short for credentials."""

_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase)?|secret|token|api_?key|access_?key(?:_id)?|credentials?|username|login|key)$",
    re.IGNORECASE,
)
_KEY_VALUE: Final = re.compile(
    r"(?P<name>\b[\w.-]*(?:sig|signature|token|secret|password|passwd|credential|apikey|api_key|authorization)[\w.-]*)"
    r"(?P<between>[\"']?\s*[=:]\s*[\"']?)(?:(?:Bearer|Basic)\s+)?[^\s&\"',;}]+",
    re.IGNORECASE,
)
_SECRET_VARIABLES: Final = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})


class Redactor:
    """Masks known secrets, in every usual encoding, and `name=value` pairs whose name suggests a secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        encoders = (str, quote, quote_plus, partial(quote, safe=""), _encode_base64)
        encoded = {encode(value) for value in secrets if len(value) >= _MIN_LENGTH for encode in encoders}
        self._encoded_secrets = sorted(encoded, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return `text` without secrets, and without user, query and fragment of its URLs."""
        for secret in self._encoded_secrets:
            text = text.replace(secret, "***")
        return _KEY_VALUE.sub(r"\g<name>\g<between>***", redact_text(text))


def collect_secrets(configurations: Iterable[object], user_configuration: object) -> set[str]:
    """Return every value that eodag may log in with, given its providers' configurations and the user's parsed file."""
    secrets = {value for configuration in configurations for value in _iter_credentials(configuration)}
    secrets.update(_iter_secret_fields(user_configuration))
    for name, value in os.environ.items():
        is_secret = _SECRET_NAME.search(name) or "CREDENTIALS" in name
        if name in _SECRET_VARIABLES or (name.startswith("EODAG_") and is_secret):
            secrets.add(value)
    return secrets


def _iter_credentials(configuration: object) -> Iterator[str]:
    """Yield the credentials of a provider's plugins, and each `user:password` as HTTP Basic encodes it."""
    for plugin in list(vars(configuration).values()):
        credentials = getattr(plugin, "credentials", None)
        if isinstance(credentials, Mapping):
            values = [str(value) for value in credentials.values() if isinstance(value, str | int) and value]
            yield from values
            for pair in permutations(values, 2):
                yield _encode_base64(":".join(pair))


def _iter_secret_fields(value: object, is_secret: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _iter_secret_fields(inner, is_secret or bool(_SECRET_NAME.search(str(name))))
    elif isinstance(value, list):
        for inner in value:
            yield from _iter_secret_fields(inner, is_secret)
    elif is_secret and isinstance(value, str | int) and value:
        yield str(value)


def _encode_base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
