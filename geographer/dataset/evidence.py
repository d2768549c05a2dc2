"""Evidence: what readers of a paper check without trusting its authors: certificates, releases, proofs."""

from typing import Any

from geographer.base.html import DisplayedDict
from geographer.dataset.tables import TableReader


class EvidenceReader(TableReader):
    """What can be done with a dataset to prove what it is: describe, certify, release, prove, make again."""

    def read_description(self) -> dict[str, Any]:
        """Return what the authors say of the dataset, by field; fields that are not described are left out.

        The fields are `title`, `summary`, `creators` (dictionaries with `name`, `orcid`, `affiliation`), `licence`,
        `url`, `keywords`, `intent`, `ethics`, `limits` and `source_licences` (by collection).
        """
        from geographer.planning.description import read_description

        with self._unit_of_work.open_revision() as revision:
            return DisplayedDict(read_description(revision).fields)
