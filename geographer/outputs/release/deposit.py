"""The layout of a release for Zenodo: archives for folders, which a deposit cannot have, and the deposit's metadata.

Source: the metadata of deposits, https://developers.zenodo.org/#representation.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any, Final

from geographer.outputs.release import sentences
from geographer.outputs.release.citation import Creators, format_reference, split_name
from geographer.outputs.release.facts import ReleaseFacts
from geographer.outputs.release.licences import find_spdx_identifier

METADATA: Final = ".zenodo.json"
MAX_FILES: Final = 100
"""The largest number of files that a deposit can have."""

_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
_FILE_MODE: Final = 0o644 << 16


def archive_folders(folder: Path) -> list[Path]:
    """Replace each folder of a release by an archive of its name, and return the archives.

    Archives have no compression, which their files have, and no times, so that equal releases give equal bytes. To
    unpack all of them in one folder gives the release again.
    """
    archives = []
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        archive = folder / f"{child.name}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
            for path in sorted(item for item in child.rglob("*") if item.is_file()):
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EARLIEST)
                info.external_attr = _FILE_MODE
                with path.open("rb") as source, target.open(info, "w", force_zip64=True) as entry:
                    shutil.copyfileobj(source, entry, 1 << 20)
        shutil.rmtree(child)
        archives.append(archive)
    return archives


def make_deposit_metadata(facts: ReleaseFacts) -> dict[str, Any]:
    """Return the metadata of a deposit. Without a licence that SPDX lists it asks for the conditions of access."""
    creators = Creators(facts)
    metadata = {
        "title": sentences.make_title(facts),
        "upload_type": "dataset",
        "description": f"<p>{_escape_html(sentences.make_summary(facts))}</p>",
        "creators": [
            {
                "name": ", ".join(filter(None, reversed(split_name(item["name"])))),
                **{key: item[key] for key in ("orcid", "affiliation") if key in item},
            }
            for item in creators.people
        ],
        "version": facts.tag.version,
        "publication_date": facts.tag.recorded_at[:10],
        "keywords": creators.keywords,
        "notes": _escape_html(format_reference(facts)),
        "language": "eng",
    }
    if identifier := find_spdx_identifier(creators.licence_name):
        return metadata | {"access_right": "open", "license": identifier.lower()}
    conditions = f"<p>Licence: {_escape_html(creators.licence_name)}</p>"
    return metadata | {"access_right": "restricted", "access_conditions": conditions}


def _escape_html(text: str) -> str:
    from html import escape

    return escape(text, quote=False)
