"""Configure an eodag gateway for one provider and collection, without extra requests or files in the home folder."""

from __future__ import annotations

import difflib
import logging
import tempfile
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from geographer.archives.eodag.redaction import Redactor, collect_secrets
from geographer.archives.http_errors import to_source_error
from geographer.base.errors import NotFoundError, SourceError, UsageError, quote_names

_GENERIC: Final = "GENERIC_COLLECTION"
_MAX_PAGE_SIZE: Final = 500
_STATUS: Final = '{$.properties."order:status"#replace_str("Not Available","succeeded")}'
"""Order status by STAC's order extension. eodag alone takes every product of a STAC API to be online."""

_PAGE_SIZE_OF_URL: Final = 100
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

    def to_source_error(self, error: Exception, subject: str) -> SourceError:
        """Return the `SourceError` to raise in place of an exception of eodag; `subject` begins its message."""
        from eodag.utils.exceptions import AuthenticationError, MisconfiguredError

        hint = _describe_credentials(self.provider)
        source_error = to_source_error(error, subject, self.redact, hint)
        if isinstance(error, AuthenticationError | MisconfiguredError) and not source_error.retryable:
            return SourceError(f"{subject}: the login failed: {hint}.")
        return source_error


def _describe_credentials(provider: str) -> str:
    """Return where eodag looks for the credentials of a provider, as an imperative clause."""
    return (
        f"put the credentials for '{provider}' into eodag's configuration (the file that EODAG_CFG_FILE names, else "
        f"~/.config/eodag/eodag.yml) or into EODAG__{provider.upper()}__… variables"
    )


def make_client(provider: str | None, collection: str, options: dict[str, Any]) -> EodagClient:
    """Return the client for a collection, of the given provider or of the one that eodag prefers.

    Args:
        provider: eodag's name of a provider, or a new name for `options['url']`.
        collection: eodag's name or alias; the archive's own name with `url` or `generic`.
        options: Validated options of `EodagSource`.

    Raises:
        NotFoundError: the provider or collection is unknown; the message lists similar names.
        UsageError: eodag's configuration is invalid, or the provider's name is taken.
        SourceError: credentials are missing.
    """
    dag, user_configuration = _open_gateway(provider if options.get("url") else None)
    configurations = [entry.config for entry in dag._providers.values()]
    configurations += list(dag._providers.pruned_providers_config.values())
    redact = Redactor(collect_secrets(configurations, user_configuration))
    if options.get("url"):
        provider = _register_stac_api(dag, provider, collection, options)
    else:
        provider, collection = _resolve_names(dag, provider, collection, bool(options.get("generic")))
    page_size = options.get("page_size") or _find_page_size(dag, provider)
    return EodagClient(dag, provider, collection, page_size, redact)


def _open_gateway(extra_provider: str | None) -> tuple[Any, Any]:
    """Return an eodag gateway that also allows `extra_provider`, and the user's parsed configuration file."""
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
        allowed = list(environment.providers_whitelist)
        try:
            settings = EODAGSettings(
                cfg_dir=Path(folder),
                cfg_file=file,
                locations_cfg_file=locations,
                ext_collections_cfg_uri="",
                providers_whitelist=[*allowed, extra_provider] if extra_provider and allowed else allowed,
            )
            return EODataAccessGateway(settings=settings), user_configuration
        except Exception as error:
            reason = f"eodag rejects '{file}' or the EODAG__… variables ({type(error).__name__})"
            raise UsageError(f"{reason}. Correct them.") from None


def _read_configuration(file: Path) -> Any:
    """Parse a configuration file. Messages do not quote it, as those of eodag and of the parser would."""
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise UsageError(f"eodag's configuration '{file}' is not valid YAML{line}. Correct it.") from None
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise UsageError(f"eodag's configuration '{file}' cannot be read ({type(error).__name__}).") from None
    if content is not None and not isinstance(content, dict):
        reason = f"eodag's configuration '{file}' contains no providers"
        raise UsageError(f"{reason}. It must map provider names to settings.")
    return content


def _register_stac_api(dag: Any, provider: str | None, collection: str, options: dict[str, Any]) -> str:
    """Register the STAC API at `options['url']` as a provider of eodag."""
    if provider is None:
        raise UsageError("a STAC API given by 'url' needs a name to record. Pass a provider.")
    if provider in dag._providers or provider in dag._providers.pruned_providers_config:
        advice = "Leave 'url' out, or choose another name for the API."
        raise UsageError(f"provider '{provider}' is known to eodag. {advice}")
    url = str(options["url"]).rstrip("/")
    search: dict[str, Any] = {
        "type": "StacSearch",
        "api_endpoint": url if url.endswith("/search") else f"{url}/search",
        "need_auth": False,
        "asset_key_from_href": False,
        "discover_queryables": {"fetch_url": None, "collection_fetch_url": None},
        "discover_collections": {"fetch_url": None},
        "metadata_mapping": {"order:status": _STATUS},
        "pagination": {"max_limit": options.get("page_size") or _PAGE_SIZE_OF_URL},
    }
    configuration = {
        "name": provider,
        "url": url,
        "priority": 0,
        "search": search,
        "products": {collection: {"_collection": collection}, _GENERIC: {"_collection": "{collection}"}},
        "download": {"type": "HTTPDownload", "auth_error_code": 401, "extract": False},
    }
    _update_provider(dag, provider, configuration)
    return provider


def _update_provider(dag: Any, provider: str, configuration: dict[str, Any]) -> None:
    dag.update_providers_config(dict_conf={provider: configuration})
    dag._providers[provider].sync_collections(dag, False)
    dag._plugins_manager.rebuild(dag._providers)


def _resolve_names(dag: Any, provider: str | None, collection: str, is_generic: bool) -> tuple[str, str]:
    """Return eodag's names of the provider and collection."""
    if provider is not None:
        _check_provider(dag, provider)
    if is_generic:
        return _add_generic_collection(dag, provider, collection)
    name_by_alias = _list_collections(dag, provider)
    name = name_by_alias.get(collection)
    if name is None and provider is not None and _accepts_any_collection(dag, provider):
        return _add_generic_collection(dag, provider, collection)
    if name is None:
        where = f" of provider '{provider}'" if provider else ""
        raise NotFoundError(
            f"collection '{collection}'{where} is not known to eodag{suggest_names(collection, name_by_alias)}. If it "
            "is the archive's own name, pass the option generic=true."
        )
    plugins = list(dag._plugins_manager.get_search_plugins(collection=name, provider=provider))
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


def _list_collections(dag: Any, provider: str | None) -> dict[str, str]:
    """Return eodag's name of each collection, by name and by alias."""
    name_by_alias: dict[str, str] = {}
    for collection in dag.list_collections(provider, fetch_providers=False):
        name = str(collection._id or collection.id)
        name_by_alias[name] = name_by_alias[str(collection.id)] = name
    return name_by_alias


def _accepts_any_collection(dag: Any, provider: str) -> bool:
    """Return whether the user configured this provider, so that it takes the archive's own collection names."""
    from eodag.config import DEFAULT_PROVIDERS_DIR

    is_custom = not (DEFAULT_PROVIDERS_DIR / f"{provider}.yml").is_file()
    return is_custom and provider in dag._providers and _GENERIC in dag._providers[provider].collections_config


def _add_generic_collection(dag: Any, provider: str | None, collection: str) -> tuple[str, str]:
    if provider is None:
        reason = "needs a provider, whose own collection name is used"
        raise UsageError(f"the option generic=true {reason}. Pass a provider.")
    if provider not in dag._providers or _GENERIC not in dag._providers[provider].collections_config:
        raise UsageError(f"provider '{provider}' offers only the collections that eodag lists. Leave generic=true out.")
    if collection not in dag._providers[provider].collections_config:
        _update_provider(dag, provider, {"products": {collection: {"_collection": collection}}})
    return provider, collection


def suggest_names(name: str, names: Iterable[str]) -> str:
    """Return `; similar: 'a', 'b'`, or an empty text if none is similar."""
    by_key = {candidate.casefold().replace("-", "_"): candidate for candidate in sorted(names)}
    key = name.casefold().replace("-", "_")
    similar = [by_key[match] for match in difflib.get_close_matches(key, by_key, n=5, cutoff=0.5)]
    similar += [known for fold, known in by_key.items() if key in fold and known not in similar][: 5 - len(similar)]
    return f"; similar: {quote_names(similar)}" if similar else ""


def _find_page_size(dag: Any, provider: str) -> int:
    """Return the provider's maximum page size as eodag knows it, at most `_MAX_PAGE_SIZE`."""
    configuration = dag._providers[provider].config
    search = getattr(configuration, "search", None) or getattr(configuration, "api", None)
    limit = (getattr(search, "pagination", None) or {}).get("max_limit")
    return max(1, min(limit, _MAX_PAGE_SIZE)) if isinstance(limit, int) and limit else _DEFAULT_PAGE_SIZE
