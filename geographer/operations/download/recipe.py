"""The recipe `download`: what is asked of which archive, and what is missing of it at a revision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError, UsageError
from geographer.base.timestamps import asked_moment
from geographer.base.values import validate_name
from geographer.operations.download.convert import check_reader
from geographer.operations.download.deduplicate import Processing
from geographer.operations.download.metadata_columns import COLUMNS
from geographer.operations.download.parameters import Asked
from geographer.operations.download.plan import DownloadPlan
from geographer.operations.download.search import Wanted
from geographer.planning.selection import Selections
from geographer.storage.database.connection import run_script
from geographer.storage.state.update import MACROS

if TYPE_CHECKING:
    from geographer.planning.recipe import RunOptions
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_SELECT: Final = (
    "CREATE OR REPLACE TEMP TABLE selected_feature AS SELECT feature_key, "
    "row_number() OVER (ORDER BY added, feature_id) AS turn "
    "FROM feature_now JOIN feature_order USING (feature_id) SEMI JOIN chosen_feature USING (feature_id)"
)


class Download(Asked):
    """The recipe: what is asked, and the plan that this comes to at a revision."""

    __slots__ = ()

    def make_plan(self, revision: Revision, run: RunOptions) -> DownloadPlan:
        """What is missing at this revision; the archive is searched when the plan is looked at, with no file held."""
        self._check(revision)
        run_script(revision.connection, MACROS.read_text())
        choices = Selections(revision, self.name)
        choices.stage_selection("feature", self.where)
        choices.stage_selection("raster", self.rasters_where, COLUMNS)
        revision.connection.execute(_SELECT)
        selected = int(revision.fetch_value("SELECT count(*) FROM selected_feature"))
        wanted = Wanted(
            missing=self._missing(revision),
            known=self._known(revision),
            span=(asked_moment(self.start, "--start"), asked_moment(self.end, "--end", last=True)),
            near=asked_moment(self.near, "--near"),
        )
        taken = {row[0] for row in revision.fetch_rows("SELECT raster_id FROM raster_now")}
        # A file that the log does not know is not to be written over.
        taken |= {path.stem for path in (run.root / "rasters" / self.into).glob("*.tif")}
        counts = {"features": selected, **choices.to_summary()}
        warnings = [*choices.list_warnings(), *([] if selected else [_none_selected(revision)])]
        return DownloadPlan(self, run, wanted, taken, counts, warnings, choices.to_rows())

    def _check(self, revision: Revision) -> None:
        validate_name("recipe", self.name)
        validate_name("collection", self.into)
        if revision.fetch_value("SELECT 1 FROM recipes WHERE name = $into AND kind LIKE 'cut%'", {"into": self.into}):
            raise ConflictError(f"'{self.into}' is the collection of a recipe's chips: take another --into")
        check_reader(self)
        start, end = asked_moment(self.start, "--start"), asked_moment(self.end, "--end", last=True)
        if start and end and start > end:
            raise UsageError(f"--start {self.start} is after --end {self.end}: turn them round")

    def _missing(self, revision: Revision) -> Any:
        """What is to be shown: `feature_key`, `feature_id`, `geometry` (WKB, longitude/latitude) and `lacking`."""
        if self.union:
            return revision.fetch_arrow((_FOLDER / "uncovered_area.sql").read_text(), {"collection": self.into})
        return revision.fetch_arrow(
            (_FOLDER / "features_lacking_rasters.sql").read_text(),
            {"collection": self.into, "target_count": self.target_count},
        )

    def _known(self, revision: Revision) -> list[Processing]:
        """The products that the collection has, and those that a person removed from it."""
        rows = revision.fetch_rows((_FOLDER / "existing_products.sql").read_text(), {"collection": self.into})
        return [Processing(product_id, json.loads(properties), footprint) for product_id, properties, footprint in rows]


def _none_selected(revision: Revision) -> str:
    known = revision.fetch_value("SELECT count(*) FROM feature_now")
    return "no feature is selected: see --where" if known else "there is no feature: see geographer add features"
