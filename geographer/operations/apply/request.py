"""The request to apply a patch."""

from pathlib import Path
from typing import Annotated, ClassVar

from geographer.base.parameters import Parameter
from geographer.operations.apply.events import PatchApplied
from geographer.operations.apply.three_way import OnConflict
from geographer.planning.shared_parameters import TEXT
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Plan, PlanContext, Request


class ApplyPatch(Request, frozen=True):
    """Apply PATCH, a file that geographer diff --patch wrote, as one event.

    If the head is the revision that the patch leads from, the result is the revision that it leads to, with chips,
    labels and splits where their bytes can be found in the cache, the workspace or the remote. If the head has moved,
    objects are merged three-way, features column by column; run geographer update for what is made from them. A patch
    that is applied already changes nothing.
    """

    event: ClassVar[type[PatchApplied]] = PatchApplied
    example = "apply fix.patch --on-conflict ours"

    path: Annotated[str | Path, Parameter("The file of the patch.", "PATCH", cli="argument", convert=str, schema=TEXT)]
    on_conflict: Annotated[
        OnConflict,
        Parameter("If the head and the patch changed the same: refuse, keep what the head has, or take the patch's."),
    ] = "fail"

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Plan:
        """See `plan_patch` and `read_patch`."""
        from geographer.diff.patch.read import read_patch
        from geographer.operations.apply.plan import plan_patch

        return plan_patch(revision, read_patch(self.path), self.on_conflict)
