"""Orders of products that an archive must restore first: kept in the cache folder until the product is downloaded."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import rfc8785

from geographer.archives.base import Product
from geographer.base.atomic_files import write_atomic

_SUFFIX: Final = ".order.json"
_KEY: Final = ("provider", "collection", "product_id")

OrderKey = tuple[str, str, str]
"""Provider, collection and id of an ordered product."""


def read_order(folder: Path, product: Product) -> Mapping[str, str] | None:
    """Return what the source kept of its order of a product; None if the product is not ordered."""
    content = _read_file(_find_path(folder, product))
    return content["order"] if content else None


def write_order(folder: Path, product: Product, order: Mapping[str, str]) -> None:
    """Keep an order, readable by the user only: an archive's addresses may contain tokens."""
    ordered_at = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"version": 1, **{name: getattr(product, name) for name in _KEY}, "ordered_at": ordered_at}
    text = json.dumps({**content, "order": dict(order)}, ensure_ascii=False, indent=2)
    write_atomic(_find_path(folder, product), f"{text}\n".encode(), lambda path: path.chmod(0o600))


def delete_order(folder: Path, product: Product) -> None:
    """Forget the order of a product, if there is one."""
    _find_path(folder, product).unlink(missing_ok=True)


def list_ordered(folder: Path) -> set[OrderKey]:
    """Return the products that are ordered."""
    contents = (_read_file(path) for path in sorted(folder.glob(f"*{_SUFFIX}")))
    return {(content["provider"], content["collection"], content["product_id"]) for content in contents if content}


def _find_path(folder: Path, product: Product) -> Path:
    digest = hashlib.sha256(rfc8785.dumps([getattr(product, name) for name in _KEY])).hexdigest()[:32]
    return folder / f"{digest}{_SUFFIX}"


def _read_file(path: Path) -> dict[str, Any] | None:
    """Return the content of an order's file; None if it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
        is_valid = all(isinstance(content[name], str) for name in _KEY) and isinstance(content["order"], dict)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return content if is_valid else None
