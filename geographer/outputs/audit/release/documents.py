"""The documents of a release (Croissant, STAC, PROV, RO-Crate) against its tables and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from geographer.outputs.audit.release.contents import ReleaseContents, make_check, read_json_file
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Verdict

_DOCUMENTS: Final = {
    "Croissant": "croissant.json",
    "RO-Crate": "ro-crate-metadata.json",
    "STAC": "stac/catalog.json",
    "PROV": "provenance.json",
}


def check_documents(contents: ReleaseContents, findings: list[AuditFinding]) -> Iterator[AuditCheck]:
    """Compare checksums, sizes and counts that the documents state with the files and the tables."""
    for name, path in _DOCUMENTS.items():
        if not (contents.folder / path).is_file():
            yield AuditCheck(name, Verdict.NOT_CHECKED, f"there is no {path}")
            continue
        content = read_json_file(contents.folder / path)
        if not isinstance(content, dict):
            yield make_check(name, [f"{path} is not a JSON object"], "", findings)
            continue
        faults, holds = _COMPARISONS[name](contents, content)
        yield make_check(name, faults, holds, findings)


def _compare_croissant(contents: ReleaseContents, content: dict[str, Any]) -> tuple[list[str], str]:
    faults, checked = [], 0
    page = str(content.get("url") or "").rstrip("/") + "/"
    for item in _list_objects(content.get("distribution")):
        path = unquote(str(item.get("contentUrl") or "").removeprefix(page).removeprefix("./"))
        if "sha256" in item and contents.has_path(path):
            checked += 1
            if item["sha256"] != contents.manifest.digests[path]:
                faults.append(f"croissant.json has another SHA-256 for {path} than MANIFEST")
    return faults, f"{checked:,} files have the SHA-256 that croissant.json states"


def _compare_ro_crate(contents: ReleaseContents, content: dict[str, Any]) -> tuple[list[str], str]:
    faults, checked = [], 0
    for entity in _list_objects(content.get("@graph")):
        path = unquote(str(entity.get("@id") or "").removeprefix("./"))
        if not contents.has_path(path):
            continue
        checked += 1
        size = _find_size(contents.folder / path)
        stated = entity.get("contentSize")
        if stated is not None and str(stated) != str(size):
            faults.append(f"ro-crate-metadata.json says that {path} has {stated} bytes, and it has {size}")
        if "sha256" in entity and entity["sha256"] != contents.manifest.digests[path]:
            faults.append(f"ro-crate-metadata.json has another SHA-256 for {path} than MANIFEST")
    return faults, f"{checked:,} files have the size and SHA-256 that ro-crate-metadata.json states"


def _compare_stac(contents: ReleaseContents, _: dict[str, Any]) -> tuple[list[str], str]:
    """Compare the number of items with that of rasters, and the checksum of each asset (a multihash of SHA-256)."""
    faults, items = [], 0
    for path in sorted((contents.folder / "stac").rglob("*.json")):
        content = read_json_file(path)
        if not isinstance(content, dict) or content.get("type") != "Feature":
            continue
        items += 1
        for asset in _list_objects([*(content.get("assets") or {}).values()]):
            target = _resolve_asset(contents, path, str(asset.get("href") or ""))
            stated = str(asset.get("file:checksum") or "")
            if target and stated and stated.removeprefix("1220") != contents.manifest.digests[target]:
                faults.append(f"{path.relative_to(contents.folder).as_posix()} has another checksum for {target}")
    rasters = len(contents.rasters)
    if items != rasters:
        faults.append(f"stac/ has {items:,} items, and the table has {rasters:,} rasters")
    return faults, f"{items:,} items, one for each raster, with the checksums of their files"


def _compare_provenance(contents: ReleaseContents, content: dict[str, Any]) -> tuple[list[str], str]:
    """Look for the digest of the revision in the provenance."""
    digest = contents.find_digest("digest") or ""
    activities = content.get("activity")
    count = len(activities) if isinstance(activities, dict) else 0
    if digest and digest not in str(content):
        return [f"provenance.json does not name the event {digest}"], ""
    return [], f"{count:,} activities; the event of the revision is among what it names"


def _resolve_asset(contents: ReleaseContents, item: Path, href: str) -> str | None:
    """Return the path of an asset that lies in the release."""
    if "://" in href or not href:
        return None
    target = (item.parent / unquote(href)).resolve()
    root = contents.folder.resolve()
    path = target.relative_to(root).as_posix() if target.is_relative_to(root) else ""
    return path if contents.has_path(path) else None


def _find_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _list_objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


_COMPARISONS: Final = {
    "Croissant": _compare_croissant,
    "RO-Crate": _compare_ro_crate,
    "STAC": _compare_stac,
    "PROV": _compare_provenance,
}
