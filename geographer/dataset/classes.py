"""The verbs for classes: what there is, combined, renamed, dropped, and hard classes from soft ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geographer.dataset.commit import Changing
from geographer.storage.unit_of_work import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geographer.dataset.queries import Rev
    from geographer.storage.events import ChangeResult
    from geographer.storage.queries.table import Table


class Classes(Changing):
    """The part of `Dataset` that deals with classes; see there for the keyword arguments that all changes share."""

    def classes(self, at: Rev = None) -> Table:
        """The classes by value: `class` (text), `value` (int32, what it burns; 0 is background), `features` (int64)."""
        from geographer.storage.queries.tables import list_classes

        with self._recorder.open_revision(at) as view:
            return list_classes(view)

    def remap_classes(
        self, mapping: Mapping[str, str | None], *, prune_rasters: bool = False, **signature: Any
    ) -> ChangeResult:
        """Combine, rename and drop classes, all at once: one event.

        What `mapping` does not name stays. A class that stays keeps its value, and if it is a target, its features
        take part beside those that join them. A target that is new gets the smallest value among its sources, so that
        a class that is merely renamed keeps its value. A target that itself becomes something else counts as new: two
        classes can be swapped, and each takes its value along.

        Features that get another class keep the one that they had before their first remap in their column
        `original_class`; one that they brought along under that name stays. Features of a dropped class are removed;
        earlier revisions keep them. The background class (value 0) can be renamed and combined, but not dropped
        while features have it: they erase in masks. What is combined with it into a new class is background, too.

        Soft classes follow: the columns `prob_of_class_<class>` of combined classes are summed (what is missing counts
        as nothing), those of renamed ones renamed, those of dropped ones removed, without scaling the others up.

        Recipes stay as they were declared: the summary's `warnings` name those whose SQL asks for a class that is no
        more.

        Args:
            mapping: Class to new class, or to None to drop it.
            prune_rasters: Also remove the chips (rasters cut from rasters) that showed an object and show none
                afterwards, with their labels and places in splits. Background is no object.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            UsageError: the mapping is empty or changes nothing, a name is empty, a probability is no number.
            NotFoundError: a class is not there.
            ConflictError: the background class would be dropped while features have it.
        """
        from geographer.operations.classes.plan import plan_remap

        request = {"classes": dict(mapping), "prune_rasters": prune_rasters}
        return self._change(
            "classes_remapped",
            request,
            signature,
            lambda view: Change(plan_remap(view, mapping, prune_rasters=prune_rasters, request=request)),
        )

    def harden_classes(self, threshold: float | None = None, **signature: Any) -> ChangeResult:
        """Make soft classes hard: each feature gets the class of its greatest probability; one event.

        The probabilities stand in the columns `prob_of_class_<class>`, and stay there. Of equal ones, that of the
        smaller class value counts. A feature without any probability keeps its class. Where nothing changes, no event
        is recorded.

        Args:
            threshold: Where the greatest probability is below it, the feature gets the background class, or keeps its
                class if there is no background.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError: no such columns, or one is named after a class that is not there.
            UsageError: the threshold is not between 0 and 1, or a probability is no finite number.
        """
        from geographer.operations.classes.plan import plan_hardening

        request = {"threshold": threshold}
        return self._change(
            "classes_hardened", request, signature, lambda view: Change(plan_hardening(view, threshold, request))
        )
