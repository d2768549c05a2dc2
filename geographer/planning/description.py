"""The description of a dataset: what its authors say of it, and no measurement can tell."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from geographer.planning.declarations import read_declarations
from geographer.storage.queries.revision import Revision

DESCRIPTION_EVENT: Final = "dataset_described"

_Text = str | UnsetType
_Texts = list[Annotated[str, Meta(min_length=1)]] | UnsetType


class Creator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A creator of the dataset: a name, with ORCID iD and affiliation if they are known."""

    name: Annotated[str, Meta(min_length=1)]
    orcid: Annotated[str, Meta(pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$")] | UnsetType = UNSET
    affiliation: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the authors say of the dataset. An event records only what it changes; an empty text takes a text back.

    Attributes:
        title: The title of the dataset.
        summary: What the dataset is, in some sentences.
        creators: Who made it, in the order of a citation.
        licence: Its licence: an SPDX identifier such as CC-BY-4.0, or a URL.
        url: The web page where its releases can be found.
        keywords: Keywords.
        intent: What it was made for, and what it should not be used for.
        ethics: What it says of people, and what harm its use could do.
        limits: Known limits that cannot be measured.
        source_licences: The licences of collections of rasters, by collection.
    """

    title: _Text = UNSET
    summary: _Text = UNSET
    creators: list[Creator] | UnsetType = UNSET
    licence: _Text = UNSET
    url: _Text = UNSET
    keywords: _Texts = UNSET
    intent: _Text = UNSET
    ethics: _Text = UNSET
    limits: _Text = UNSET
    source_licences: dict[str, str] | UnsetType = UNSET


class KnownDescription(msgspec.Struct, frozen=True):
    """What the log gives, and the position in the chain of its last event or of the merge that has it; 0 without."""

    fields: Mapping[str, Any]
    position: int

    def find_text(self, name: str) -> str:
        """Return a text of the description; empty if it is not described."""
        return str(self.fields.get(name, ""))


def make_page_url(text: str) -> str:
    """Return the URL of a web page that is given as URL or as DOI; empty if it is neither."""
    doi = re.fullmatch(r"(?:doi:\s*)?(10\.\d{4,9}/\S+)", text.strip(), re.IGNORECASE)
    url = f"https://doi.org/{doi[1]}" if doi else text.strip()
    return url if re.fullmatch(r"https?://\S+", url) else ""


def read_description(revision: Revision) -> KnownDescription:
    """Return the description that the log gives at its head, whatever the revision: it can follow a tag.

    Later events replace earlier ones, field by field, and the licences of sources by collection. Events of a merged
    branch count, in the order of their generation.
    """
    declarations = read_declarations(revision.plain_connection, [DESCRIPTION_EVENT])
    fields: dict[str, Any] = {}
    for declaration in declarations:
        changes = declaration.payload["description"]
        licences = {**fields.get("source_licences", {}), **changes.get("source_licences", {})}
        fields.update(changes)
        if licences:
            fields["source_licences"] = licences
    known = {name: value for name, value in fields.items() if value}
    return KnownDescription(known, max((declaration.position for declaration in declarations), default=0))
