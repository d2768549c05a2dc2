"""The licences of the sources of a release: which are known, and which conflict with each other or with its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

from geographer.base.text import format_count
from geographer.outputs.audit.release.contents import ReleaseContents
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Severity, Verdict
from geographer.planning.description import read_description
from geographer.storage.queries.revision import Revision

NAME: Final = "licences"
_OPEN: Final = (
    r"CC0(-1\.0)?|PDDL-1\.0|public.?domain|CC-BY-\d(\.\d)?|ODC-By-1\.0|MIT|Apache-2\.0|BSD-[23]-Clause|"
    r"CDLA-Permissive-[12]\.0|OGL-UK-\d\.0|etalab-2\.0|.*copernicus.*|.*sentinel.*legal.*|US-Gov.*"
)
_FAMILIES: Final = (
    ("no derivatives", re.compile(r"CC-BY(-NC)?-ND-.*", re.IGNORECASE)),
    ("non-commercial, share-alike", re.compile(r"CC-BY-NC-SA-.*", re.IGNORECASE)),
    ("non-commercial", re.compile(r"CC-BY-NC-.*", re.IGNORECASE)),
    ("share-alike", re.compile(r"CC-BY-SA-.*|ODbL-1\.0|CDLA-Sharing-1\.0|A?GPL-.*", re.IGNORECASE)),
    ("open", re.compile(_OPEN, re.IGNORECASE)),
)
"""What a licence asks for, by its SPDX identifier; the first that fits counts. Others are unknown."""
_URLS: Final = (
    (re.compile(r"https?://spdx\.org/licenses/([^/]+?)(\.html)?/?"), r"\1"),
    (re.compile(r"https?://creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)(/.*)?"), r"CC-\1-\2"),
    (re.compile(r"https?://creativecommons\.org/publicdomain/zero/1\.0(/.*)?"), "CC0-1.0"),
)


class LicenceUse(NamedTuple):
    """A licence, and the collections whose rasters have it."""

    licence: str
    family: str | None
    collections: tuple[str, ...]


def find_licence_family(licence: str) -> str | None:
    """Return what a licence (SPDX identifier or URL) asks for: `open`, `share-alike` …; None if it is unknown."""
    text = licence.strip()
    for pattern, replacement in _URLS:
        if pattern.fullmatch(text):
            text = pattern.sub(replacement, text)
    return next((family for family, pattern in _FAMILIES if pattern.fullmatch(text)), None)


def check_licences(contents: ReleaseContents, revision: Revision | None, findings: list[AuditFinding]) -> AuditCheck:
    """Compare the licences of the sources with each other and with that of the release.

    A conflict is a rule of thumb and no legal advice; a licence that is not known is never said to be compatible.
    """
    fields: Mapping[str, Any] = {} if revision is None else read_description(revision).fields
    uses, without = _collect_uses(contents, fields.get("source_licences") or {})
    own = str(fields.get("licence") or "")
    conflicts = [*_find_conflicts(uses, own)]
    unknown = [f"'{use.licence}' of {_name_collections(use)}" for use in uses if use.family is None]
    unknown += [f"{name}: no licence is recorded" for name in without]
    unknown += [] if own else ["the release itself: no licence is described"]
    for text in unknown:
        findings.append(AuditFinding("unknown licence", Severity.HINT, NAME, text))
    findings += [AuditFinding("licence conflict", Severity.FAULT, NAME, text) for text in conflicts]
    if conflicts:
        text = f"{format_count(len(conflicts), 'conflict')} (a rule of thumb, no legal advice)"
        return AuditCheck(NAME, Verdict.FAILS, text, tuple(conflicts[:3]))
    if unknown:
        return AuditCheck(NAME, Verdict.NOT_CHECKED, f"not known: {'; '.join(unknown[:5])}")
    listed = ", ".join(f"{use.licence} ({_name_collections(use)})" for use in uses)
    return AuditCheck(NAME, Verdict.HOLDS, f"no conflict between {listed} and the release's {own}")


def _collect_uses(contents: ReleaseContents, described: Mapping[str, str]) -> tuple[list[LicenceUse], list[str]]:
    """Return the licences of the rasters that were not cut from others, and the collections without one."""
    chips = contents.read_table("chips", ["raster_id"])
    cut = set(chips["raster_id"].to_pylist()) if chips is not None else set()
    collections: dict[str, set[str]] = {}
    for raster in contents.rasters:
        if raster["raster_id"] not in cut:
            name = str(raster.get("collection"))
            licence = raster.get("licence") or described.get(name) or ""
            collections.setdefault(str(licence), set()).add(name)
    without = sorted(collections.pop("", set()))
    uses = [LicenceUse(text, find_licence_family(text), tuple(sorted(n))) for text, n in sorted(collections.items())]
    return uses, without


def _find_conflicts(uses: list[LicenceUse], own: str) -> Iterator[str]:
    family = find_licence_family(own) if own else None
    for use in uses:
        if use.family == "no derivatives":
            yield f"{use.licence} of {_name_collections(use)} forbids changed copies, such as chips"
        if family == "open" and use.family in {"non-commercial", "non-commercial, share-alike"}:
            yield f"{use.licence} of {_name_collections(use)} forbids commercial use, and the release's {own} allows it"
        if own and use.family in {"share-alike", "non-commercial, share-alike"} and own != use.licence:
            yield f"{use.licence} of {_name_collections(use)} asks for the same licence, and the release has {own}"
    shared = [use for use in uses if use.family in {"share-alike", "non-commercial, share-alike"}]
    for first, second in pairwise(shared):
        yield f"{first.licence} and {second.licence} both ask for their own licence"


def _name_collections(use: LicenceUse) -> str:
    return ", ".join(f"'{name}'" for name in use.collections)
