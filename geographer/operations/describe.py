"""Describe the dataset: record its title, creators, licence, intent and ethics. The content stays as it is."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

from msgspec import UNSET

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.planning.description import DESCRIPTION_EVENT, Creator, Description, make_page_url
from geographer.planning.shared_parameters import OBJECT_SCHEMA, TEXT, TEXTS, list_values
from geographer.storage.events.payload import EventPayload
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

_CREATOR: Final = re.compile(
    r"(?P<name>[^<>()]+?)\s*(?:<(?:https://orcid\.org/)?(?P<orcid>\d{4}-\d{4}-\d{4}-\d{3}[\dX])>)?\s*"
    r"(?:\((?P<affiliation>[^()]+(?:\([^()]*\)[^()]*)*)\))?"
)
_TEXT: Final = Parameter("", "TEXT", records_default=False, schema=TEXT)
_LICENCES: Final = Parameter(
    "The licence of a collection of rasters, for example source=CC-BY-4.0.",
    *("COLLECTION=LICENCE", "those that archives state", "--source-licence"),
    cli="pairs",
    records_default=False,
    schema=OBJECT_SCHEMA,
)


class DatasetDescribed(EventPayload, kw_only=True, frozen=True):
    """The authors said what the dataset is: title, creators, licence, intent, ethics; only what changed."""

    kind: ClassVar[str] = DESCRIPTION_EVENT
    has_request: ClassVar[bool] = False

    description: Description

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        names = [name.replace("_", " ") for name in self.to_json()["description"]]
        yield f"described {', '.join(names)}"


def parse_creators(creators: Any) -> tuple[str, ...]:
    """Return creators as texts, checked; `UsageError` for one that is not `NAME <ORCID> (AFFILIATION)`."""
    texts = list_values(creators)
    for text in texts:
        parse_creator(text)
    return texts


def parse_creator(text: str) -> Creator:
    """Return the creator that a text such as `Ada Lovelace <0000-0002-1825-0097> (University of London)` names."""
    match = _CREATOR.fullmatch(text.strip())
    if not match:
        raise UsageError(
            f"invalid --creator '{text}'. Use NAME <ORCID> (AFFILIATION), of which the last two may be left out, for "
            "example: 'Ada Lovelace <0000-0002-1825-0097> (University of London)'."
        )
    if (orcid := match["orcid"]) and not _is_valid_orcid(orcid):
        raise UsageError(f"invalid ORCID iD '{orcid}' of --creator: its check digit is wrong. Correct it.")
    return Creator(" ".join(match["name"].split()), orcid or UNSET, match["affiliation"] or UNSET)


def _is_valid_orcid(orcid: str) -> bool:
    """Return whether the check digit is right (ISO 7064, MOD 11-2)."""
    digits = orcid.replace("-", "")
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    return "0123456789X"[(12 - total % 11) % 11] == digits[-1]


class DescribeDataset(Request, frozen=True):
    """Record what no measurement can tell of the dataset: title, creators, licence, intent and ethics.

    Releases show the last description. What is not given stays as it is; an empty text takes a text back. Without
    options, a terminal is asked for what is missing.
    """

    event: ClassVar[type[DatasetDescribed]] = DatasetDescribed
    example = "describe --licence CC-BY-4.0 --creator 'Ada Lovelace'"

    title: Annotated[str | None, _TEXT._replace(help="The title.")] = None
    summary: Annotated[str | None, _TEXT._replace(help="What the dataset is, in some sentences.")] = None
    creators: Annotated[
        Sequence[str],
        Parameter(
            "A creator, as NAME <ORCID> (AFFILIATION); the last two are optional.",
            *("CREATOR", "the authors of the log", "--creator", parse_creators),
            records_default=False,
            cli="list",
            schema=TEXTS,
        ),
    ] = ()
    licence: Annotated[str | None, _TEXT._replace(help="The licence: an SPDX identifier or a URL.")] = None
    url: Annotated[str | None, _TEXT._replace(help="The web page of the releases, or a DOI.", metavar="URL")] = None
    keywords: Annotated[
        Sequence[str],
        Parameter(
            "A keyword.",
            *("TEXT", "the classes", "--keyword", list_values),
            records_default=False,
            cli="list",
            schema=TEXTS,
        ),
    ] = ()
    intent: Annotated[str | None, _TEXT._replace(help="What it was made for, and what it is not fit for.")] = None
    ethics: Annotated[str | None, _TEXT._replace(help="What it says of people, and what harm its use could do.")] = None
    limits: Annotated[str | None, _TEXT._replace(help="Known limits that cannot be measured.")] = None
    source_licences: Annotated[Mapping[str, str] | None, _LICENCES] = None

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`."""
        names = ("title", "summary", "licence", "url", "intent", "ethics", "limits")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        others: dict[str, Any] = {"creators": [*self.creators], "keywords": [*self.keywords]}
        others["source_licences"] = dict(self.source_licences or {})
        return given | {name: value for name, value in others.items() if value}

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the event.

        Raises:
            UsageError: Nothing is given, the URL is none, a text has credentials, or there is no such collection.
        """
        from geographer.base.redaction import require_no_credentials

        given = self.list_recorded_parameters()
        if not given:
            raise UsageError("nothing to describe. Give --title, --licence, --intent, --ethics …; see --help.")
        for name, value in given.items():
            require_no_credentials(name.replace("_", " "), [str(value)])
        if self.url and not make_page_url(self.url):
            raise UsageError(f"invalid --url '{self.url}'. Use a URL that begins with https:// or http://, or a DOI.")
        collections = {name for (name,) in revision.fetch_rows("SELECT DISTINCT collection FROM current_raster")}
        if unknown := sorted(set(given.get("source_licences", {})) - collections):
            raise UsageError(
                f"there is no collection '{unknown[0]}', which --source-licence names. The collections are: "
                f"{', '.join(sorted(collections)) or 'none yet'}."
            )
        creators = [parse_creator(text) for text in self.creators] or UNSET
        return Change(DatasetDescribed(description=Description(**given | {"creators": creators})))
