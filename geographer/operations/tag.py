"""Tag a revision: give it a permanent name."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec
from msgspec import Meta

from geographer.base.errors import ConflictError, CorruptError, UsageError
from geographer.base.parameters import Parameter
from geographer.base.values import validate_name
from geographer.diff.version import AUTO, VERSION_PATTERN, VersionNumber, choose_version
from geographer.planning.shared_parameters import NAME, OPTIONAL_TEXT, TEXT
from geographer.planning.split_constraints.check import require_leak_free
from geographer.planning.upcasters import upcast_tag
from geographer.storage.database.connection import DEFAULT_BRANCH
from geographer.storage.events.payload import Digest, EventPayload, Name
from geographer.storage.log.branches import has_branch
from geographer.storage.log.read import read_event, resolve_revision
from geographer.storage.queries.open_conflicts import require_no_conflicts
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change, PlanContext, Request
from geographer.storage.state.digest import compute_state_digest
from geographer.storage.workspace.required_objects import RequiredObjects, list_required_objects
from geographer.storage.workspace.tag_objects import list_published_files, retain_revision
from geographer.storage.workspace.withdrawn_files import list_withdrawn_md5s

logger = logging.getLogger(__name__)


class TagV1(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a revision, the digest of its event, and that of its content."""

    tag: Name
    position: Annotated[int, Meta(ge=1)]
    digest: Digest
    content_digest: Digest


class TagV2(TagV1, frozen=True):
    """A tag with the Merkle root of the rows of the revision's content; None if version 1 recorded the tag."""

    merkle_root: Digest | None


class Tag(TagV2, frozen=True):
    """A tag with the version number of the revision; None if it has none."""

    version: Annotated[str, Meta(pattern=VERSION_PATTERN)] | None


class RevisionTaggedV1(EventPayload, kw_only=True, frozen=True):
    """A revision got a permanent name, before tags had a Merkle root."""

    kind: ClassVar[str] = "revision_tagged"

    tag: TagV1

    def to_current_version(self) -> "RevisionTagged":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(upcast_tag(self.to_json()), RevisionTagged)


class RevisionTaggedV2(EventPayload, kw_only=True, frozen=True):
    """A revision got a permanent name, before tags had a version number."""

    kind: ClassVar[str] = "revision_tagged"
    version: ClassVar[int] = 2
    schema_rules: ClassVar[Mapping[str, Any]] = {"properties": {"tag": {"properties": {"merkle_root": TEXT}}}}

    tag: TagV2

    def to_current_version(self) -> "RevisionTagged":
        """See `EventPayload.to_current_version`."""
        return msgspec.convert(upcast_tag(self.to_json()), RevisionTagged)


class RevisionTagged(EventPayload, kw_only=True, frozen=True):
    """A revision got a permanent name, and perhaps a version number."""

    kind: ClassVar[str] = "revision_tagged"
    version: ClassVar[int] = 3
    schema_rules: ClassVar[Mapping[str, Any]] = {"properties": {"tag": {"properties": {"merkle_root": TEXT}}}}

    tag: Tag

    @property
    def recorded_tag(self) -> Tag:
        """See `EventPayload.recorded_tag`."""
        return self.tag

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        tag = self.tag
        yield f"'{tag.tag}' is @{tag.position} {tag.digest}, content {tag.content_digest}"
        if tag.version:
            yield f"version {tag.version}"


def check_tag(name: str) -> str:
    """Return the name of a tag; raise `UsageError` if it could be read as another name of a revision."""
    is_digest = all(letter in "0123456789abcdef" for letter in name.lower())
    if name and (is_digest or name.upper().startswith("HEAD") or _is_date(name) or name == DEFAULT_BRANCH):
        raise UsageError(
            f"invalid tag '{name}': it could be a digest, a date, HEAD or a branch. Use a name such as v1."
        )
    validate_name("tag", name)
    return name


def check_version(version: str) -> str:
    """Return a version number as a user gives it, or 'auto'; raise `UsageError` for other texts."""
    return version if version == AUTO else str(VersionNumber.from_text(version))


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


class TagPlan(NamedTuple):
    """A planned tag, the objects that its revision needs, and the MD5s of the files that remotes have."""

    event: RevisionTagged
    required: RequiredObjects
    published: Collection[str]

    @property
    def is_empty(self) -> bool:
        """See `Plan.is_empty`."""
        return False

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Retain the objects of the revision, so that `dvc gc` does not delete them, before the tag is recorded."""
        if self.required.files:
            retain_revision(context.root, f"tag '{self.event.tag.tag}'", self.required, self.published)
        return Change(self.event)


class TagRevision(Request, frozen=True):
    """Give a revision (the head, if REV is omitted) a permanent name.

    A tag does not move. With --version, the revision gets a version number, too. It follows that of the last revision
    that has one: PATCH is raised if the data are the same, MINOR if data were only added, MAJOR if data were edited,
    removed, or moved between subsets. A number that contradicts the data is refused.
    """

    event: ClassVar[type[RevisionTagged]] = RevisionTagged
    example = "tag v1 -m 'as in the paper'"

    name: Annotated[str, NAME._replace(help="The tag.", convert=check_tag, key="tag")]
    revision: Annotated[
        str | int | None, Parameter("The revision.", "[REV]", "the head", cli="argument", schema=OPTIONAL_TEXT)
    ] = None
    version: Annotated[
        str | None,
        Parameter(
            "The version number: X.Y.Z, or auto to compute it from the data.",
            *("auto|X.Y.Z", "none"),
            convert=check_version,
            records_default=False,
            schema={**TEXT, "pattern": f"^{AUTO}$|{VERSION_PATTERN}"},
        ),
    ] = None

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`."""
        revision = None if self.revision is None else str(self.revision)
        return {"tag": self.name, "revision": revision, **({"version": self.version} if self.version else {})}

    def make_plan(self, revision: Revision, context: PlanContext, /) -> "TagPlan":
        """Plan the tag.

        Raises:
            ConflictError: The tag exists, a split of the revision leaks, or the version number contradicts the data.
            NotFoundError: The revision does not exist.
            CorruptError: The state, from which the content digest is computed, was altered.
        """
        if revision.fetch_value("SELECT 1 FROM tags WHERE tag = $name", {"name": self.name}):
            raise ConflictError(f"tag '{self.name}' exists, and a tag does not move. Choose another name.")
        if has_branch(revision.connection, self.name):
            raise ConflictError(f"a branch has the name '{self.name}'. Choose another name for the tag.")
        position = resolve_revision(revision.connection, self.revision)
        digest = read_event(revision.connection, position).digest
        if revision.fetch_value("SELECT state_digest FROM state.meta") != compute_state_digest(revision.connection):
            raise CorruptError(
                "the state differs from what the log gave, so a tag would record a wrong digest. Run geographer verify "
                "--repair, which derives it from the log again."
            )
        tagged = Revision(revision.connection, position)
        require_no_conflicts(tagged, "tagging")
        require_leak_free(tagged)
        version = choose_version(revision, position, self.version) if self.version else None
        if version is None and re.fullmatch(VERSION_PATTERN, self.name.removeprefix("v")):
            number = self.name.removeprefix("v")
            logger.warning("the data do not check the number in a tag's name. Pass --version %s to let them.", number)
        tag = Tag(self.name, position, digest, tagged.compute_content_digest(), tagged.compute_merkle_root(), version)
        required = list_required_objects(revision, [position], excluded_md5s=list_withdrawn_md5s(revision))
        return TagPlan(RevisionTagged(tag=tag), required, list_published_files(revision, context.root))
