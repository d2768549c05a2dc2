"""The methods of `Dataset` that list, remap and set classes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from geographer.dataset.commit import CommitMixin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geographer.dataset.queries import RevisionSpec
    from geographer.storage.events import ChangeResult
    from geographer.storage.queries.table import Table


class ClassesMixin(CommitMixin):
    """The part of `Dataset` for classes; see `Dataset` for the keyword arguments that all changes share."""

    def classes(self, at: RevisionSpec = None) -> Table:
        """Return the classes by value: `class` (text), `value` (int32, 0 is background), `features` (int64)."""
        from geographer.storage.queries.read_tables import list_classes

        with self._unit_of_work.open_revision(at) as revision:
            return list_classes(revision)

    def remap_classes(
        self, mapping: Mapping[str, str | None], *, prune_rasters: bool = False, **commit_options: Any
    ) -> ChangeResult:
        """Combine, rename and drop classes in one event.

        Classes that `mapping` does not name stay. A class that stays keeps its value; if it is a target, its features
        are combined with those mapped to it. A new target gets the smallest value of its sources, so a renamed class
        keeps its value. A target that is itself mapped counts as new, so two classes can be swapped and take their
        values along.

        Features of a remapped class keep their class before the first remap in the column `original_class`, unless the
        data have such a column. Features of a dropped class are removed; earlier revisions keep them. The background
        class (value 0) can be renamed and combined, but not dropped while features have it, because it erases in masks.
        A new class that the background class is combined into is background too.

        Probability columns `prob_of_class_<class>` follow: those of combined classes are summed (missing values count
        as 0), those of renamed classes are renamed, those of dropped classes are removed without rescaling the others.
        Recipes are not changed: `warnings` in the summary names recipes whose SQL mentions a class that no longer
        exists.

        Args:
            mapping: Class to new class, or to None to drop it.
            prune_rasters: Also remove chips that showed an object before and show none afterwards, with their labels
                and assignments. Background is not an object.

        Raises:
            UsageError: the mapping is empty or changes nothing, a name is empty, or a probability is not a number.
            NotFoundError: a class does not exist.
            ConflictError: the background class would be dropped while features have it.
        """
        from geographer.operations.classes.remap import plan_remap

        request = {"classes": dict(mapping), "prune_rasters": prune_rasters}
        plan = partial(plan_remap, mapping=mapping, prune_rasters=prune_rasters, request=request)
        return self._commit_change("classes_remapped", request, commit_options, plan)

    def set_classes_from_probabilities(self, threshold: float | None = None, **commit_options: Any) -> ChangeResult:
        """Give each feature the class of its largest probability, in one event.

        The columns `prob_of_class_<class>` hold the probabilities and are kept. The smaller class value wins ties. A
        feature without probabilities keeps its class. Nothing is recorded if no class changes.

        Args:
            threshold: A feature whose largest probability is smaller gets the background class, or keeps its class if
                there is no background class.

        Raises:
            NotFoundError: there are no such columns, or a column names a class that does not exist.
            UsageError: the threshold is not between 0 and 1, or a probability is not a finite number.
        """
        from geographer.operations.classes.probabilities import plan_hardening

        request = {"threshold": threshold}
        return self._commit_change("classes_hardened", request, commit_options, plan_hardening, threshold, request)
