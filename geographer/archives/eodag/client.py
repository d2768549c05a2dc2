"""Configure an eodag gateway for one provider and collection, without extra requests or files in the home folder."""

import logging
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

from geographer.archives.eodag.options import EodagOptions
from geographer.archives.eodag.redaction import Redactor, collect_secrets
from geographer.archives.http_errors import is_disk_error, iter_causes, to_source_error
from geographer.base.errors import AccessDeniedError, NotFoundError, SourceError, UsageError
from geographer.base.text import suggest_names

_GENERIC: Final = "GENERIC_COLLECTION"
_MAX_PAGE_SIZE: Final = 500
_DEFAULT_PAGE_SIZE: Final = 50
"""eodag's own default for providers without a configured limit."""


@dataclass(frozen=True)
class EodagClient:
    """An `EODataAccessGateway` with eodag's names of one provider and collection, and products per request.

    `redact` removes secrets from a text. `lock` is held while eodag searches or logs in: its plugins keep state.
    """

    dag: Any
    provider: str
    collection: str
    page_size: int
    redact: Redactor = field(repr=False)
    lock: Any = field(default_factory=threading.RLock, repr=False)

    @contextmanager
    def translate_errors(self, subject: str) -> Iterator[None]:
        """Raise eodag's exceptions as those of `Source`, about `subject`; errors of the disk stay `OSError`."""
        from eodag.utils import exceptions

        try:
            yield
        except Exception as error:
            for cause in iter_causes(error):
                if isinstance(cause, HTTPError):
                    cause.close()  # eodag leaves its connection open.
                if isinstance(cause, SourceError) or is_disk_error(cause):
                    raise cause from None
            if isinstance(error, exceptions.ValidationError) and getattr(error, "status_code", None) is None:
                raise UsageError(f"{subject}: eodag rejects the query: {self.redact(error.message)}") from None
            if isinstance(error, exceptions.UnsupportedProvider | exceptions.UnsupportedCollection):
                reason = "provider or collection is not known to eodag. Correct their names."
                raise NotFoundError(f"{subject}: {reason}") from None
            hint = _describe_credentials(self.provider)
            source_error = to_source_error(error, subject, self.redact, hint)
            is_login = isinstance(error, exceptions.AuthenticationError | exceptions.MisconfiguredError)
            if is_login and not source_error.retryable:
                source_error = AccessDeniedError(f"{subject}: the login failed: {hint}.")
            raise source_error from None


def _describe_credentials(provider: str) -> str:
    return (
        f"put the credentials for '{provider}' into eodag's configuration (the file that EODAG_CFG_FILE names, else "
        f"~/.config/eodag/eodag.yml) or into EODAG__{provider.upper()}__… variables"
    )


def make_client(provider: str | None, collection: str, options: EodagOptions) -> EodagClient:
    """Return the client for a collection, of the given provider or of the one that eodag prefers.

    `provider` is eodag's name; `collection` is eodag's name or alias, or with `generic` the archive's own name.

    Raises:
        NotFoundError: the provider or collection is unknown; the message lists similar names.
        UsageError, SourceError: eodag's configuration is invalid; a login is missing.
    """
    dag, user_configuration = _open_gateway()
    configurations = [entry.config for entry in dag._providers.values()]
    configurations += dag._providers.pruned_providers_config.values()
    redact = Redactor(collect_secrets(configurations, user_configuration))
    provider, collection = _resolve_names(dag, provider, collection, options.generic)
    return EodagClient(dag, provider, collection, options.page_size or _find_page_size(dag, provider), redact)


def _open_gateway() -> tuple[Any, object]:
    """Return an eodag gateway, and the user's parsed configuration file."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="geographer-eodag-") as folder:
        warnings.simplefilter("ignore")
        from eodag import EODataAccessGateway
        from eodag.config import EODAGSettings

        # eodag, which set up its logger when imported, logs URLs and responses: only to handlers that the user added.
        logger = logging.getLogger("eodag")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        empty, locations = Path(folder, "eodag.yml"), Path(folder, "locations.yml")
        empty.write_text("{}\n", encoding="utf-8")
        locations.write_text("shapefiles: []\n", encoding="utf-8")
        try:
            environment = EODAGSettings()
        except Exception as error:
            raise UsageError(f"eodag rejects the EODAG_… variables ({type(error).__name__}). Correct them.") from None
        file = environment.resolved_cfg_file
        if not file.is_file():
            if environment.cfg_file is not None:
                raise NotFoundError(f"the file '{file}' that EODAG_CFG_FILE names does not exist. Correct or unset it.")
            file = empty
        user_configuration = _read_configuration(file)
        try:
            settings = EODAGSettings(
                cfg_dir=Path(folder),
                cfg_file=file,
                locations_cfg_file=locations,
                ext_collections_cfg_uri="",
                providers_whitelist=list(environment.providers_whitelist),
            )
            return EODataAccessGateway(settings=settings), user_configuration
        except Exception as error:
            names = f"'{file}' or the EODAG__… variables"
            raise UsageError(f"eodag rejects {names} ({type(error).__name__}). Correct them.") from None


def _read_configuration(file: Path) -> object:
    """Parse a configuration file. Messages do not quote it, as those of eodag and of the parser would."""
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = f"is not valid YAML (line {mark.line + 1})" if mark else f"cannot be read ({type(error).__name__})"
        raise UsageError(f"eodag's configuration '{file}' {reason}. Correct it.") from None
    if content is None or isinstance(content, dict):
        return content
    raise UsageError(f"eodag's configuration '{file}' contains no providers. It must map provider names to settings.")


def _update_provider(dag: Any, provider: str, configuration: Mapping[str, object]) -> None:
    dag.update_providers_config(dict_conf={provider: configuration})
    dag._providers[provider].sync_collections(dag, False)
    dag._plugins_manager.rebuild(dag._providers)


def _resolve_names(dag: Any, provider: str | None, collection: str, is_generic: bool) -> tuple[str, str]:
    if provider is not None:
        _check_provider(dag, provider)
    name_by_alias = {
        str(alias): str(known._id or known.id)
        for known in dag.list_collections(provider, fetch_providers=False)
        for alias in (known._id or known.id, known.id)
    }
    name = name_by_alias.get(collection)
    if is_generic or (name is None and provider is not None and _accepts_any_collection(dag, provider)):
        return _add_generic_collection(dag, provider, collection)
    if name is None:
        where, similar = f" of provider '{provider}'" if provider else "", suggest_names(collection, name_by_alias)
        advice = "If it is the archive's own name, pass the option generic=true."
        raise NotFoundError(f"collection '{collection}'{where} is not known to eodag{similar}. {advice}")
    plugins = dag._plugins_manager.get_search_plugins(collection=name, provider=provider)
    names = [str(plugin.provider) for plugin in plugins]
    preferred = dag.get_preferred_provider()[0]
    return preferred if preferred in names else names[0], name


def _check_provider(dag: Any, provider: str) -> None:
    pruned = dag._providers.pruned_providers_config
    names = {*dag._providers, *(getattr(entry.config, "group", None) for entry in dag._providers.values())} - {None}
    if provider in names:
        return
    if provider in pruned:
        reason = (dag._providers.pruned_providers_reasons.get(provider) or {}).get("reason_type")
        if reason == "skipped_plugin":
            raise NotFoundError(f"provider '{provider}' needs optional packages of eodag. Install eodag[all].")
        raise SourceError(f"provider '{provider}' requires a login for searches: {_describe_credentials(provider)}.")
    raise NotFoundError(f"provider '{provider}' is not known to eodag{suggest_names(provider, {*names, *pruned})}.")


def _accepts_any_collection(dag: Any, provider: str) -> bool:
    """Return whether the user configured this provider, so that it takes the archive's own collection names."""
    from eodag.config import DEFAULT_PROVIDERS_DIR

    is_custom = not (DEFAULT_PROVIDERS_DIR / f"{provider}.yml").is_file()
    return is_custom and provider in dag._providers and _GENERIC in dag._providers[provider].collections_config


def _add_generic_collection(dag: Any, provider: str | None, collection: str) -> tuple[str, str]:
    if provider is None:
        raise UsageError(
            "the option generic=true needs a provider, whose own collection name is used. Pass a provider."
        )
    if provider not in dag._providers or _GENERIC not in dag._providers[provider].collections_config:
        raise UsageError(f"provider '{provider}' offers only the collections that eodag lists. Leave generic=true out.")
    if collection not in dag._providers[provider].collections_config:
        _update_provider(dag, provider, {"products": {collection: {"_collection": collection}}})
    return provider, collection


def _find_page_size(dag: Any, provider: str) -> int:
    configuration = dag._providers[provider].config
    search = getattr(configuration, "search", None) or getattr(configuration, "api", None)
    limit = (getattr(search, "pagination", None) or {}).get("max_limit")
    return max(1, min(limit, _MAX_PAGE_SIZE)) if isinstance(limit, int) and limit else _DEFAULT_PAGE_SIZE
