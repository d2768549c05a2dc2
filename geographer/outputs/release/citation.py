"""How to cite a release: creators, a reference in one line, CITATION.cff and BibTeX.

Source: the Citation File Format 1.2.0, https://citation-file-format.github.io.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from geographer.base.html import render_object
from geographer.outputs.release import sentences
from geographer.outputs.release.facts import ReleaseFacts, read_facts
from geographer.outputs.release.licences import NO_LICENCE, find_spdx_identifier, make_licence_url
from geographer.planning.description import make_page_url
from geographer.storage.queries.revision import Revision

_MAX_KEYWORDS: Final = 50
_EMAIL: Final = re.compile(r"(.*\S)\s*<[^<>]*>\s*")
"""An author of the log with an e-mail address, which citations leave out."""
_CFF_LICENCES: Final = re.compile(
    r"CC0-1\.0|CC-BY(-NC)?(-SA|-ND)?-[1-4]\.0|ODbL-1\.0|ODC-By-1\.0|PDDL-1\.0|OGL-UK-[1-3]\.0|etalab-2\.0|MIT|Apache-2\.0"
)
"""Identifiers that CFF 1.2.0 knows; it has those that SPDX had in 2021. Others are given by their URL."""
_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


class Citation(NamedTuple):
    """How to cite a release.

    Attributes:
        reference: The reference in one line.
        bibtex: A BibTeX entry.
        cff: The content of a CITATION.cff.
    """

    reference: str
    bibtex: str
    cff: str

    def _repr_html_(self) -> str:
        return render_object(self)


class Creators:
    """Who made a release, and under which licence and address it is given: as described, or as the log tells."""

    def __init__(self, facts: ReleaseFacts) -> None:
        fields = facts.description.fields
        authors = dict.fromkeys(_EMAIL.sub(r"\1", event.author) for event in facts.events)
        self.people: list[Mapping[str, str]] = fields.get("creators") or [{"name": author} for author in authors]
        self.licence_name = facts.description.find_text("licence") or _join_licences(facts)
        classes = [item.name for item in facts.classes if item.features][: _MAX_KEYWORDS - 1]
        self.keywords: list[str] = [*dict.fromkeys(fields.get("keywords") or ["remote sensing", *classes])]
        self.described_url = make_page_url(facts.description.find_text("url"))

    @property
    def licence_url(self) -> str:
        """The URL of the licence, where it has one."""
        return make_licence_url(self.licence_name)

    @property
    def page_url(self) -> str:
        """The web page of the releases; `about:blank` if it is not known."""
        return self.described_url or "about:blank"

    def make_json_ld(self) -> list[dict[str, Any]]:
        """Return the creators as schema.org has them."""
        return [
            {
                "@type": "Person",
                "name": item["name"],
                **({"@id": f"https://orcid.org/{item['orcid']}"} if "orcid" in item else {}),
                **(
                    {"affiliation": {"@type": "Organization", "name": item["affiliation"]}}
                    if "affiliation" in item
                    else {}
                ),
            }
            for item in self.people
        ]


def make_citation(revision: Revision, tag: str) -> Citation:
    """Return how to cite the tag at whose revision `revision` is open; `NotFoundError` if there is no such tag."""
    facts = read_facts(revision, tag)
    return Citation(format_reference(facts), write_bibtex(facts), write_citation_file(facts))


def _join_licences(facts: ReleaseFacts) -> str:
    """Return the licence of the sources if all have the same one."""
    described = facts.description.fields.get("source_licences", {})
    sources = [item for item in facts.collections if item.is_source and item.rasters]
    found = {described.get(item.name) or (item.licences[0] if len(item.licences) == 1 else "") for item in sources}
    return found.pop() or NO_LICENCE if len(found) == 1 else NO_LICENCE


def format_reference(facts: ReleaseFacts) -> str:
    """Return the reference in one line: creators, year, title, version, URL, digests."""
    creators = Creators(facts)
    names = sentences.join_words([" ".join(filter(None, split_name(item["name"]))) for item in creators.people])
    url = f" {creators.described_url}." if creators.described_url else ""
    return (
        f"{names} ({facts.tag.recorded_at[:4]}). {sentences.make_title(facts)}, version {facts.tag.version} [data set]."
        f"{url} Event digest {facts.tag.digest}, content digest {facts.tag.content_digest}."
    )


def write_citation_file(facts: ReleaseFacts) -> str:
    """Return the content of CITATION.cff."""
    import yaml

    creators = Creators(facts)
    content: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this dataset, please cite it as below.",
        "type": "dataset",
        "title": sentences.make_title(facts),
        "authors": [_make_cff_author(item) for item in creators.people],
        "version": facts.tag.version,
        "date-released": facts.tag.recorded_at[:10],
        "identifiers": [
            {"type": "other", "value": f"urn:sha256:{facts.tag.digest}", "description": "The digest of the event."},
            {"type": "other", "value": f"urn:sha256:{facts.tag.content_digest}", "description": "The content digest."},
        ],
        "keywords": creators.keywords,
        "abstract": sentences.make_summary(facts),
    }
    if creators.described_url:
        content["url"] = creators.described_url
    identifier = find_spdx_identifier(creators.licence_name)
    if identifier and _CFF_LICENCES.fullmatch(identifier):
        content["license"] = identifier
    elif "://" in creators.licence_url:
        content["license-url"] = creators.licence_url
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))


def _make_cff_author(item: Mapping[str, str]) -> dict[str, str]:
    """Return an author; a name of one word stays one."""
    given, family = split_name(item["name"])
    author = {"given-names": given, "family-names": family} if given else {"name": item["name"]}
    if given and "affiliation" in item:
        author["affiliation"] = item["affiliation"]
    if "orcid" in item:
        author["orcid"] = f"https://orcid.org/{item['orcid']}"
    return author


def write_bibtex(facts: ReleaseFacts) -> str:
    """Return the reference as a BibTeX entry of type `misc`."""
    creators = Creators(facts)
    fields = {
        "author": " and ".join(_make_bibtex_name(item["name"]) for item in creators.people),
        "title": f"{{{_escape_latex(sentences.make_title(facts))}}}",
        "year": facts.tag.recorded_at[:4],
        "version": _escape_latex(facts.tag.version),
        "url": creators.described_url.replace("{", "%7B").replace("}", "%7D"),
        "note": f"Data set. Event digest {facts.tag.digest}, content digest {facts.tag.content_digest}",
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    first = re.sub(r"[^a-z]", "", split_name(creators.people[0]["name"])[1].lower()) or "dataset"
    key = f"{first}{facts.tag.recorded_at[:4]}{re.sub(r'[^A-Za-z0-9]', '', facts.tag.name)}"
    return "\n".join([f"@misc{{{key},", *lines, "}", ""])


def split_name(name: str) -> tuple[str, str]:
    """Return the given names, empty if there are none, and the family name: before a comma, or else the last word."""
    if name.count(",") == 1:
        family, _, given = name.partition(",")
        return given.strip(), family.strip()
    given, _, family = name.strip().rpartition(" ")
    return given.strip(), family


def _make_bibtex_name(name: str) -> str:
    """Return a name; in braces where BibTeX would read more than one name, or none, in it."""
    text = _escape_latex(name)
    is_plain = name.count(",") <= 1 and " and " not in f" {name.lower()} "
    return text if is_plain else f"{{{text}}}"


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
