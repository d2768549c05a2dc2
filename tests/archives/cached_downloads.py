"""List a cache folder of downloads, as a killed or completed run leaves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class CachedDownload(NamedTuple):
    """A folder in the cache: `path`, `size` in bytes, and the product's id if the download is complete."""

    path: Path
    size: int
    product_id: str | None


def list_downloads(folder: Path) -> list[CachedDownload]:
    """List the cache folder by path: complete products, and partial ones left by a killed process."""
    downloads = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        is_complete = path.suffix != ".part"
        product_id = json.loads((path / "manifest.json").read_text())["product_id"] if is_complete else None
        downloads.append(CachedDownload(path, size, product_id))
    return downloads
