"""Evidence: what readers of a paper check without trusting its authors: certificates, releases, proofs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geographer.base.html import DisplayedDict
from geographer.dataset.filters import RevisionSpec
from geographer.dataset.graph import GraphReader
from geographer.storage.queries.table import Table

if TYPE_CHECKING:
    from geographer.base.executors.executor import Workers
    from geographer.outputs.applicability.map import ApplicabilityMap
    from geographer.outputs.certificate.certificate import Certificate
    from geographer.outputs.pages.report.write import ReportResult
    from geographer.outputs.release.citation import Citation
    from geographer.outputs.release.write import ReleaseResult
    from geographer.outputs.rerun.archive_report import ArchiveReport
    from geographer.outputs.rerun.report import RerunReport


class EvidenceReader(GraphReader):
    """What can be done with a dataset to prove what it is: describe, certify, release, prove, make again."""

    def read_description(self) -> dict[str, Any]:
        """Return what the authors say of the dataset, by field; fields that are not described are left out.

        The fields are `title`, `summary`, `creators` (dictionaries with `name`, `orcid`, `affiliation`), `licence`,
        `url`, `keywords`, `intent`, `ethics`, `limits` and `source_licences` (by collection).
        """
        from geographer.planning.description import read_description

        with self._unit_of_work.open_revision() as revision:
            return DisplayedDict(read_description(revision).fields)

    def read_attributes(self, at: RevisionSpec = None) -> dict[str, Any]:
        """Return the attributes of a revision by name: JSON values that `set_attributes` recorded."""
        from geographer.planning.attributes import read_attributes

        with self._unit_of_work.open_revision(at) as revision:
            return DisplayedDict(read_attributes(revision))

    def check_archives(
        self, at: RevisionSpec = None, *, recipe: str | None = None, workers: "Workers" = 4
    ) -> "ArchiveReport":
        """Ask the archive of each downloaded raster what it would give today, and compare that with what was recorded.

        What archives deliver is read in a scratch folder, and chips and labels are made from it there, to say how far
        they would be from the recorded ones. Nothing in the dataset changes.

        Args:
            at: The revision. Default: the head.
            recipe: Only the rasters of this download.
            workers: The number of products to fetch, and of processes that make chips, at the same time.

        Returns:
            For each raster `same`, `reprocessed`, `altered`, `gone` or `not asked`, and why.

        Raises:
            NotFoundError: there is no such revision, or no raster of such a download in it.
        """
        from geographer.dataset.archive_check import check_archives

        return check_archives(self._unit_of_work, at, recipe=recipe, workers=workers)

    def rerun_revision(
        self, at: RevisionSpec = None, *, recipe: str | None = None, workers: "Workers" = 1, commands: bool = False
    ) -> "RerunReport":
        """Make the chips, labels and outputs of commands of a revision again, and compare them with the recorded ones.

        What the log says is done again in a scratch folder: the request of each event is planned at the revision before
        it and built from the recorded bytes of its sources. Nothing in the dataset changes.

        Args:
            at: The revision. Default: the head.
            recipe: Only the files of this recipe, label or collection.
            workers: The number of processes that make files, or a client or the address of a Dask scheduler.
            commands: Run what `run_command` recorded again, in the scratch folder. Do so only
                if you trust their authors.

        Returns:
            A result for each file (`identical bytes`, `identical pixels`, `different`, `not made`), and for each event
            whether its plan and the versions of the software are as they were.

        Raises:
            NotFoundError: there is no such revision, or no such recipe in it.
        """
        from geographer.outputs.rerun.run import rerun_revision

        return rerun_revision(self._unit_of_work, at, recipe=recipe, workers=workers, commands=commands)

    def certify_split(
        self,
        split: str,
        *,
        at: RevisionSpec = None,
        buffer: float | None = None,
        duplicates: bool = False,
        where: str | None = None,
        workers: "Workers" = 1,
    ) -> "Certificate":
        """Return what the subsets of a split share at a revision: its leakage certificate.

        Nothing that the split declared is believed: the rasters of different subsets are compared by the features that
        they show, by windows and ground, by distance, and by pixels if asked for. Equal datasets give equal bytes
        (`encode_json`); `to_dict` follows `schemas/certificate.v1.json`.

        Args:
            split: The split's name.
            at: The revision. Default: the head.
            buffer: The distance in metres that any two subsets must exceed. None: distances are measured only.
            duplicates: Read the pixels of all rasters and look for near-duplicates: turned or mirrored, shifted by up
                to 5 % of the side, brighter or darker, compressed.
            where: Which features count as objects, as an SQL expression; others may be shared, such as a country that
                all chips lie in. The certificate states it, and how many others are shared. Default: all.
            workers: The number of processes that read pixels, or a client or the address of a Dask scheduler.

        Raises:
            NotFoundError: there is no such revision or split, or `where` names an unknown column.
            UsageError: the buffer is negative or not finite, or `where` is not one expression.
        """
        from geographer.outputs.certificate.certify import certify_split

        with self._unit_of_work.open_revision(at) as revision:
            return certify_split(
                *(self._unit_of_work, revision, split),
                buffer=buffer,
                duplicates=duplicates,
                where=where,
                workers=workers,
            )

    def find_split_filter(self, split: str, *, at: RevisionSpec = None) -> str | None:
        """Return the SQL expression that says which features a split keeps in one part; None: all of them."""
        from geographer.outputs.certificate.objects import find_declared_filter

        with self._unit_of_work.open_revision(at) as revision:
            return find_declared_filter(revision, split)

    def write_release(
        self, tag: str, folder: str | Path, *, audience: Literal["neurips", "zenodo"] | None = None
    ) -> "ReleaseResult":
        """Write the release of a tag to a folder: what a reader of the paper needs to check, cite and load it.

        It holds the files, the tables as GeoParquet, the log as a segment, RO-Crate, PROV, Croissant, STAC, a
        datasheet, citations, a methods paragraph, and the SHA-256 of every file. Equal logs give equal bytes.

        Args:
            tag: The tag.
            folder: An empty or new folder, or that of an earlier release.
            audience: 'neurips': the URLs in the Croissant file are absolute. 'zenodo': the folders are archives, as a
                deposit needs.

        Raises:
            NotFoundError: there is no such tag.
            UsageError: intent or ethics are not described; see `describe`.
            ConflictError: the folder has other content.
            CorruptError: a file cannot be restored.
        """
        from geographer.outputs.release.write import write_release

        return write_release(self._unit_of_work, tag, Path(folder), audience)

    def write_report(
        self,
        tag: RevisionSpec,
        to: str | Path,
        *,
        splits: Sequence[str] = (),
        buffer: float | None = None,
        duplicates: bool = False,
        where: str | None = None,
        examples: int = 24,
        reruns: Sequence[str | Path] = (),
        certificates: Sequence[str | Path] = (),
        verify: bool = False,
    ) -> "ReportResult":
        """Write the page that a reviewer opens: what a revision is, what was checked, and how to check it.

        It is one HTML file that needs no network, nor JavaScript. Equal datasets give equal bytes, on machines that
        have the same files. Nothing in the dataset changes.

        Args:
            tag: The tag, or any revision. None: the newest tag, or the head if there is none.
            to: The file.
            splits: The splits to certify. Default: all.
            buffer: The distance in metres that any two subsets must exceed. None: distances are measured only.
            duplicates: Read the pixels of all rasters of the splits and look for near-duplicates.
            where: Which features count as objects, as an SQL expression. None: those that each split declared.
            examples: The largest number of chips that are shown, up to 200.
            reruns: Files with what `geographer rerun --json` printed for the revision, to join.
            certificates: Files that `geographer certify --to` wrote for the revision, to join.
            verify: Read the log and all files of the revision and compare them with their digests.

        Raises:
            NotFoundError: there is no such revision, split or file.
            UsageError: an argument is invalid, a given file is none of this revision, or `to` is not the path of a
                file, or is a file of the dataset.
            StorageError: a file cannot be read or written.
            MissingLibraryError: jinja2 or matplotlib is not installed.
        """
        from geographer.outputs.pages.report.leakage import LeakageOptions
        from geographer.outputs.pages.report.write import ReportOptions, write_report

        given = [
            [Path(paths)] if isinstance(paths, str | Path) else [*map(Path, paths)] for paths in (reruns, certificates)
        ]
        options = ReportOptions(
            [splits] if isinstance(splits, str) else splits,
            LeakageOptions(buffer, duplicates, where),
            examples,
            reruns=given[0],
            certificates=given[1],
            verify=verify,
        )
        return write_report(self._unit_of_work, tag, to, options)

    def cite_tag(self, tag: str) -> "Citation":
        """Return how to cite a tag: the reference in one line, BibTeX, and the content of a CITATION.cff.

        Raises:
            NotFoundError: there is no such tag.
        """
        from geographer.outputs.release.citation import make_citation

        with self._unit_of_work.open_revision(tag) as revision:
            return make_citation(revision, tag)

    def prove_object(self, name: str, at: RevisionSpec = None, *, to: str | Path | None = None) -> dict[str, Any]:
        """Return a proof of RFC 9162 that an object is in a tag, or that the log of a tag is part of a later one.

        Who has the tag's Merkle root, or of events and tags its log root, checks the proof without the dataset; see
        `examples/check_proof.py`. Its JSON Schema is `schemas/proof.v1.json`.

        Args:
            name: The id of a feature or raster, or `feature:ID`, `raster:ID`, `label:NAME/RASTER_ID`, `class:NAME` or
                `split:NAME/RASTER_ID`; `event:DIGEST` or `@17`; or `tag:NAME`, an earlier tag.
            at: The tag, or a revision that has one. None: the last tag.
            to: A file that the proof is written to, too.

        Raises:
            NotFoundError: there is no such object, event or tag, or the revision has no tag.
            UsageError: the name is that of a feature and of a raster.
            ConflictError: the tag is older than these roots.
            CorruptError: the log differs from what the tag records.
        """
        from geographer.outputs.proof.prove import prove_object, write_proof

        proof = prove_object(self._unit_of_work, name, at)
        if to is not None:
            write_proof(proof, Path(to))
        return DisplayedDict(proof)

    def list_signatures(self, at: RevisionSpec = None) -> Table:
        """Return the signatures of tags that were recorded up to a revision, oldest first; `verify` checks them.

        Columns, as text: `tag`, `digest` (of the tagged event), `key` (fingerprint), `format` ('ed25519' or 'ssh'),
        `author` and `recorded_at` of the event (UTC), `time_stamp` (UTC, as the authority states it; null without one).
        """
        from geographer.outputs.proof.signatures import make_signature_table

        with self._unit_of_work.open_revision(at) as revision:
            return Table(make_signature_table(revision))

    def write_time_stamp_request(self, tag: str, to: str | Path) -> None:
        """Write a request (RFC 3161, `.tsq`) for a time stamp of the last signature of a tag that has none yet.

        An authority answers it, such as `openssl ts -reply`; `dataset.tag(tag, timestamp=FILE)` records the answer.

        Raises:
            NotFoundError: the tag does not exist or has no signature.
        """
        from geographer.outputs.proof.signatures import write_time_stamp_request

        with self._unit_of_work.open_revision() as revision:
            write_time_stamp_request(revision, tag, Path(to))

    def map_applicability(
        self,
        split: str,
        covariates: Sequence[str | Path],
        to: str | Path,
        *,
        weights: Mapping[str, float] | None = None,
        at: RevisionSpec = None,
    ) -> "ApplicabilityMap":
        """Write a GeoTIFF of where a model that is trained on a split's samples is applicable (Meyer and Pebesma 2021).

        Band 1 is the dissimilarity index: the distance of a pixel to the nearest sample in the space of the covariates,
        divided by the mean distance between samples. Band 2 is 1 where it is within the threshold that the parts of the
        split give, else 0; NaN where a covariate is missing. A sample is the middle of a raster's footprint.

        Args:
            split: The split, whose parts are the folds of the cross-validation.
            covariates: Files, perhaps with bands (`s2.tif:4,8`); the first one gives the grid of the map.
            to: The file to write, float32.
            weights: Weights of covariates by name (`s2:4`), such as their importance. Default: 1.
            at: The revision. Default: the head.

        Raises:
            NotFoundError: there is no such split, revision or file.
            UsageError: there are too few samples or parts, a covariate does not vary, or a weight is wrong.
        """
        from geographer.outputs.applicability.map import map_applicability

        with self._unit_of_work.open_revision(at) as revision:
            return map_applicability(revision, split, [str(item) for item in covariates], weights or {}, Path(to))
