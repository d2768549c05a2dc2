"""The leakage certificates of a release against its revision, and against what its log gives when computed again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from geographer.base.errors import GeographerError
from geographer.base.text import format_count
from geographer.outputs.audit.release.contents import ReleaseContents, make_check, read_json_file
from geographer.outputs.audit.release.history import RebuiltHistory
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Verdict

NAME: Final = "certificates"
_DIGESTS: Final = ("digest", "content_digest", "position")
_COMPARED_LEVELS: Final = ("shared_objects", "shared_pixels", "distance")
"""The levels that need no pixels. The audit looks for near duplicates itself."""


def check_certificates(contents: ReleaseContents, history: RebuiltHistory, findings: list[AuditFinding]) -> AuditCheck:
    """Compare each certificate with the digests of the revision, and compute it again from the log."""
    paths = sorted((contents.folder / "certificates").glob("*.json"))
    if history.revision is None:
        return AuditCheck(NAME, Verdict.NOT_CHECKED, "the log could not be read, from which they are computed again")
    splits = {split for (split,) in history.revision.fetch_rows("SELECT DISTINCT split FROM splits")}
    faults = [f"the one of split '{split}' is missing" for split in sorted(splits - {path.stem for path in paths})]
    if not paths and not faults:
        return AuditCheck(NAME, Verdict.NOT_CHECKED, "the release has no split, and so no leakage certificate")
    for path in paths:
        content = read_json_file(path)
        name = f"certificates/{path.name}"
        if not isinstance(content, dict):
            faults.append(f"{name} is not a JSON object")
            continue
        faults += [f"{name} {fault}" for fault in _compare_certificate(contents, history, content)]
    count = format_count(len(paths), "certificate")
    text = f"{count} computed again from the log: all equal (near duplicates are looked for below)"
    return make_check(NAME, faults, text, findings)


def _compare_certificate(contents: ReleaseContents, history: RebuiltHistory, content: dict[str, Any]) -> Iterator[str]:
    for key in _DIGESTS:
        if content.get(key) != contents.revision.get(key):
            yield f"is of another revision: its {key} is {content.get(key)}"
    try:
        expected = _recompute_certificate(history, content)
    except GeographerError as error:
        yield f"cannot be computed again: {error}"
        return
    if content.get("subsets") != expected["subsets"]:
        yield f"states the subsets {content.get('subsets')}, and the log gives {expected['subsets']}"
    levels = content.get("levels")
    for level in _COMPARED_LEVELS:
        stated = levels.get(level) if isinstance(levels, dict) else None
        if stated != expected["levels"][level]:
            yield f"states something else on the level '{level}' than the log gives"


def _recompute_certificate(history: RebuiltHistory, content: dict[str, Any]) -> dict[str, Any]:
    from geographer.outputs.certificate.certify import certify_split

    assert history.revision is not None
    assert history.work is not None
    parameters = content.get("parameters")
    buffer = parameters.get("buffer_m") if isinstance(parameters, dict) else None
    distance = float(buffer) if isinstance(buffer, int | float) else None
    where = read_filter(content)
    split = str(content.get("split"))
    return certify_split(history.work, history.revision, split, buffer=distance, where=where).to_dict()


def read_filter(content: dict[str, Any]) -> str | None:
    """Return which features a certificate counts as objects, as an SQL expression; None: all."""
    parameters = content.get("parameters")
    where = parameters.get("where") if isinstance(parameters, dict) else None
    return None if where is None else str(where)
