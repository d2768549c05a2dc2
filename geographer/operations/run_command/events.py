"""The event of a command that ran outside of geographer."""

from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from geographer.storage.events.payload import Count, Counted, Digest, EventPayload, Name


class CodeRevision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The Git commit of the working folder's repository.

    `root` is the repository's folder, seen from the working folder. `diff` is the SHA-256 of what tracked files have
    that the commit has not (`git diff --binary`), without the files that geographer writes itself.
    """

    commit: Annotated[str, Meta(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$")]
    root: str
    diff: Digest | UnsetType = UNSET


class CommandRun(EventPayload, kw_only=True, frozen=True):
    """A command ran: its files with their digests are rows of `command_file`; outputs may be rasters or labels.

    `folder` is the working folder, seen from the dataset's folder; `environment` are the names of the variables.
    """

    kind: ClassVar[str] = "command_run"
    tables: ClassVar[tuple[str, ...]] = ("raster_change", "label_change", "command_file")
    row_tables: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("command_file", "role path", "size md5 sha256 raster_id label"),
    )
    writes_pixels: ClassVar[bool] = True
    is_replayable: ClassVar[bool] = True

    rasters: Annotated[Count, Counted("raster")]
    labels: Annotated[Count, Counted("label")]
    inputs: Annotated[Count, Counted("input")]
    outputs: Annotated[Count, Counted("output")]
    exit_code: int
    seconds: Annotated[float, Meta(ge=0)]
    folder: str
    environment: list[str]
    name: Name | UnsetType = UNSET
    code: CodeRevision | UnsetType = UNSET

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        request = self.request if isinstance(self.request, dict) else {}
        if command := request.get("command"):
            text = " ".join(command)
            yield text if len(text) <= 60 else f"{text[:59]}…"
        yield from super().iter_phrases()
        if self.exit_code:
            yield f"failed with exit code {self.exit_code}"
        if self.code:
            yield f"code {self.code.commit[:12]}{' with changes' if self.code.diff else ''}"

    def load_request(self) -> Any:
        """See `EventPayload.load_request`."""
        return resolve_name(f"{__package__}.replay:CommandReplay")(self)
