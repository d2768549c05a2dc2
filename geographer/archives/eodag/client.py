"""Makes eodag ready for one archive: configured as the person has it, silent, with no request and no file at home."""

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

from geographer.archives.base import SourceError
from geographer.archives.eodag.redaction import Clean, known
from geographer.base.errors import NotFoundError, UsageError, quote_names

_GENERIC: Final = "GENERIC_COLLECTION"
_MOST_OF_A_PAGE: Final = 500
_STATUS: Final = '{$.properties."order:status"#replace_str("Not Available","succeeded")}'
"""As the order extension of STAC tells it; eodag itself takes all that a STAC API has to be online."""

_PAGE_OF_AN_API: Final = 100
_PAGE_OF_A_PROVIDER: Final = 50
"""What eodag takes for the longest page of a provider that it tells nothing else of."""


@dataclass(frozen=True)
class Client:
    """eodag with what it needs to search one collection of one provider, and to fetch from it.

    Attributes:
        dag: eodag's gateway.
        provider: Whose archive is asked.
        collection: eodag's name of the collection.
        page_size: Products that are asked for at once.
        clean: Takes what is secret out of a text.
        lock: Held while eodag searches or logs in: its plugins keep notes on themselves.
    """

    dag: Any
    provider: str
    collection: str
    page_size: int
    clean: Clean = field(repr=False)
    lock: Any = field(default_factory=threading.RLock, repr=False)

    @property
    def credentials(self) -> str:
        """The next step of a person whose credentials are missing or wrong."""
        return credentials_step(self.provider)


def credentials_step(provider: str) -> str:
    """Where eodag looks for the credentials of a provider."""
    return (
        f"put the credentials for '{provider}' into eodag's configuration (the file that EODAG_CFG_FILE names, else "
        f"~/.config/eodag/eodag.yml) or into EODAG__{provider.upper()}__… variables"
    )


def ready(provider: str | None, collection: str, options: dict[str, Any]) -> Client:
    """The client for a collection, of a provider or of the one that eodag prefers.

    Args:
        provider: A name that eodag knows, or a new one for `options['url']`.
        collection: A name or an alias of eodag's, or the archive's own with `url` or `generic`.
        options: As `EodagSource` has checked them.

    Raises:
        NotFoundError: no such provider or collection; the error names those that are called alike.
        UsageError: eodag's configuration can't be read, or the name of the provider is taken.
        SourceError: credentials are missing.
    """
    dag, given = _gateway(provider if options.get("url") else None)
    configurations = [one.config for one in dag._providers.values()]
    configurations += list(dag._providers.pruned_providers_config.values())
    clean = Clean(known(configurations, given))
    if options.get("url"):
        provider = _added(dag, provider, collection, options)
    else:
        provider, collection = _resolved(dag, provider, collection, bool(options.get("generic")))
    return Client(dag, provider, collection, _page_size(dag, provider, options.get("page_size")), clean)


def silence() -> None:
    """Keep eodag's log, which quotes URLs and answers, to handlers that the person has set up for eodag, if any.

    To be called once eodag is imported, for that sets up its log anew.
    """
    logger = logging.getLogger("eodag")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False


def _gateway(also: str | None) -> tuple[Any, Any]:
    """The gateway of eodag, open to a provider `also`, and what the person's own configuration file holds."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="geographer-eodag-") as folder:
        warnings.simplefilter("ignore")
        from eodag import EODataAccessGateway
        from eodag.config import EODAGSettings

        silence()
        empty, locations = Path(folder, "eodag.yml"), Path(folder, "locations.yml")
        empty.write_text("{}\n", encoding="utf-8")
        locations.write_text("shapefiles: []\n", encoding="utf-8")
        try:
            asked = EODAGSettings()
        except Exception as error:
            raise UsageError(f"eodag does not take the EODAG_… variables ({type(error).__name__}): mend them") from None
        file = asked.resolved_cfg_file
        if not file.is_file():
            if asked.cfg_file is not None:
                raise NotFoundError(f"EODAG_CFG_FILE names '{file}', which is not there: mend or unset it")
            file = empty
        given = _read(file)
        allowed = [*asked.providers_whitelist, *([also] if also and asked.providers_whitelist else [])]
        try:
            settings = EODAGSettings(
                cfg_dir=Path(folder),
                cfg_file=file,
                locations_cfg_file=locations,
                ext_collections_cfg_uri="",
                providers_whitelist=allowed,
            )
            return EODataAccessGateway(settings=settings), given
        except Exception as error:
            raise UsageError(
                f"eodag can't be set up with '{file}' and the EODAG__… variables ({type(error).__name__}): mend them"
            ) from None


def _read(file: Path) -> Any:
    """What a configuration file holds; the errors of eodag and of the parser would quote it."""
    import yaml

    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        place = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"eodag's configuration '{file}' is no YAML{place}: mend it") from None
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise UsageError(f"eodag's configuration '{file}' can't be read ({type(error).__name__}): mend it") from None
    if given is not None and not isinstance(given, dict):
        raise UsageError(f"eodag's configuration '{file}' has no providers in it: mend it")
    return given


def _added(dag: Any, provider: str | None, collection: str, options: dict[str, Any]) -> str:
    """A STAC API made known to eodag."""
    if provider is None:
        raise UsageError("a STAC API by its 'url' needs a name to record: pass a provider")
    if provider in dag._providers or provider in dag._providers.pruned_providers_config:
        raise UsageError(
            f"provider '{provider}' is one that eodag knows: leave 'url' away, or call the API by another name"
        )
    url = str(options["url"]).rstrip("/")
    search: dict[str, Any] = {
        "type": "StacSearch",
        "api_endpoint": url if url.endswith("/search") else f"{url}/search",
        "need_auth": False,
        "asset_key_from_href": False,
        "discover_queryables": {"fetch_url": None, "collection_fetch_url": None},
        "discover_collections": {"fetch_url": None},
        "metadata_mapping": {"order:status": _STATUS},
        "pagination": {"max_limit": options.get("page_size") or _PAGE_OF_AN_API},
    }
    configuration = {
        "name": provider,
        "url": url,
        "priority": 0,
        "search": search,
        "products": {collection: {"_collection": collection}, _GENERIC: {"_collection": "{collection}"}},
        "download": {"type": "HTTPDownload", "auth_error_code": 401, "extract": False},
    }
    _configured(dag, provider, configuration)
    return provider


def _configured(dag: Any, provider: str, configuration: dict[str, Any]) -> None:
    dag.update_providers_config(dict_conf={provider: configuration})
    dag._providers[provider].sync_collections(dag, False)
    dag._plugins_manager.rebuild(dag._providers)


def _resolved(dag: Any, provider: str | None, collection: str, generic: bool) -> tuple[str, str]:
    """The provider and collection that eodag means by these names."""
    if provider is not None:
        _check_provider(dag, provider)
    if generic:
        return _generic(dag, provider, collection)
    offered = _collections(dag, provider)
    name = offered.get(collection)
    if name is None and provider is not None and _takes_any(dag, provider):
        return _generic(dag, provider, collection)
    if name is None:
        where = f" of provider '{provider}'" if provider else ""
        raise NotFoundError(
            f"no collection '{collection}'{where} is known to eodag{alike(collection, offered)}; if it is the "
            "archive's own name, pass the option generic=true"
        )
    plugins = list(dag._plugins_manager.get_search_plugins(collection=name, provider=provider))
    return _preferred(dag, plugins), name


def _preferred(dag: Any, plugins: list[Any]) -> str:
    """The provider that eodag would ask first."""
    first = dag.get_preferred_provider()[0]
    names = [str(plugin.provider) for plugin in plugins]
    return first if first in names else names[0]


def _check_provider(dag: Any, provider: str) -> None:
    pruned = dag._providers.pruned_providers_config
    names = {*dag._providers, *(getattr(one.config, "group", None) for one in dag._providers.values())} - {None}
    if provider in names:
        return
    if provider in pruned:
        reason = (dag._providers.pruned_providers_reasons.get(provider) or {}).get("reason_type")
        if reason == "skipped_plugin":
            raise NotFoundError(
                f"provider '{provider}' needs a part of eodag that is not installed: install eodag[all]"
            )
        raise SourceError(f"provider '{provider}' can't be searched without logging in: {credentials_step(provider)}")
    raise NotFoundError(f"no provider '{provider}' is known to eodag{alike(provider, {*names, *pruned})}")


def _collections(dag: Any, provider: str | None) -> dict[str, str]:
    """What can be asked for, by eodag's names and by aliases."""
    offered: dict[str, str] = {}
    for one in dag.list_collections(provider, fetch_providers=False):
        name = str(one._id or one.id)
        offered[name] = offered[str(one.id)] = name
    return offered


def _takes_any(dag: Any, provider: str) -> bool:
    """Whether a person has configured a provider of their own, to take any collection by the archive's name."""
    from eodag.config import DEFAULT_PROVIDERS_DIR

    own = not (DEFAULT_PROVIDERS_DIR / f"{provider}.yml").is_file()
    return own and provider in dag._providers and _GENERIC in dag._providers[provider].collections_config


def _generic(dag: Any, provider: str | None, collection: str) -> tuple[str, str]:
    if provider is None:
        raise UsageError("the option generic=true takes the archive's own collection: pass the provider, too")
    if provider not in dag._providers or _GENERIC not in dag._providers[provider].collections_config:
        raise UsageError(
            f"provider '{provider}' takes no collections but those that eodag lists: leave generic=true away"
        )
    if collection not in dag._providers[provider].collections_config:
        _configured(dag, provider, {"products": {collection: {"_collection": collection}}})
    return provider, collection


def alike(name: str, names: Iterable[str]) -> str:
    """`: did you mean 'a' or 'b'`, of those that are spelled alike."""
    by_fold = {one.casefold().replace("-", "_"): one for one in sorted(names)}
    wanted = name.casefold().replace("-", "_")
    near = [by_fold[one] for one in difflib.get_close_matches(wanted, by_fold, n=5, cutoff=0.5)]
    near += [one for fold, one in by_fold.items() if wanted in fold and one not in near][: 5 - len(near)]
    return f"; there is {quote_names(near)}" if near else ""


def _page_size(dag: Any, provider: str, asked: int | None) -> int:
    """What is asked for, else what the provider gives at most, within reason."""
    if asked:
        return asked
    configuration = dag._providers[provider].config
    search = getattr(configuration, "search", None) or getattr(configuration, "api", None)
    most = (getattr(search, "pagination", None) or {}).get("max_limit")
    return max(1, min(most, _MOST_OF_A_PAGE)) if isinstance(most, int) and most else _PAGE_OF_A_PROVIDER
