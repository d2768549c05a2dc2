"""Audit a dataset of any layout: recognise it, read its images, run the checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geographer.base.errors import NotFoundError, StorageError, UsageError
from geographer.base.executors.executor import Workers
from geographer.base.progress import ProgressCallback, ignore_progress, show_notebook_progress
from geographer.base.text import format_count
from geographer.outputs.audit.checks import duplicates, files, ground, names, near_duplicates, objects
from geographer.outputs.audit.checks.pairs import ReadSamples
from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.image_facts import read_image_facts
from geographer.outputs.audit.layouts.coco import read_coco
from geographer.outputs.audit.layouts.complete import complete_layout
from geographer.outputs.audit.layouts.configurations import read_configuration
from geographer.outputs.audit.layouts.croissant import CroissantFile, read_croissant, read_croissant_split
from geographer.outputs.audit.layouts.documents import Document, require_document, select_documents
from geographer.outputs.audit.layouts.exports import check_manifest, describe_export, find_export_format
from geographer.outputs.audit.layouts.folders import read_folders, read_without_split
from geographer.outputs.audit.layouts.split_lists import read_split_lists
from geographer.outputs.audit.leaks import LeakTable
from geographer.outputs.audit.names import replace_subset, sort_subsets
from geographer.outputs.audit.release.contents import ReleaseContents, is_release, require_unpacked
from geographer.outputs.audit.release.layout import read_release_layout
from geographer.outputs.audit.release.run import check_release
from geographer.outputs.audit.report import AuditCheck, AuditFinding, AuditReport, Verdict, show_path
from geographer.outputs.audit.samples import Layout
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER


class AuditOptions(NamedTuple):
    """How to audit: the buffer between subsets in metres, near duplicates or not, the cores, and the progress."""

    buffer_m: float | None = None
    with_near_duplicates: bool = True
    workers: Workers = 1
    progress: ProgressCallback = ignore_progress


def audit_dataset(
    path: str | Path,
    split: str | Path | None = None,
    *,
    buffer: float | None = None,
    near_duplicates: bool = True,
    workers: Workers = 1,
    progress: ProgressCallback = show_notebook_progress,
) -> AuditReport:
    """Audit a dataset in any layout for leakage between its subsets, damage and labels that contradict.

    No dataset of `geographer` is needed, and nothing is changed. The layouts are: images in folders by subset; lists
    of a split as text, CSV, JSON or Parquet; COCO; YOLO; configurations of TerraTorch; Croissant; and a folder that
    `release`, `checkout --to` or `export` wrote.

    Args:
        path: The folder of the dataset, or a file in it that describes it.
        split: A file that says which image is in which subset, or the name of a split of a release; None to look for
            one.
        buffer: The distance in metres that subsets must have; None to only measure it.
        near_duplicates: Compare the pixels of images by perceptual hashes, too.
        workers: The number of processes that read images, or a client or the address of a Dask scheduler.
        progress: Called with the phase, the number of items done, and their total.

    Raises:
        NotFoundError: The path does not exist.
        UsageError: The split file is not one, the buffer is negative, a release is packed in archives, or the folder is
            a dataset of geographer.
        StorageError: The folder cannot be read.
    """
    from geographer.algorithms.geodesic_distance.neighbours import parse_buffer

    if buffer is not None:
        parse_buffer(buffer)
    options = AuditOptions(buffer, near_duplicates, workers, progress)
    folder, chosen = _find_folder(Path(path), None if split is None else Path(split))
    export_format = find_export_format(folder)
    if export_format is None and is_release(folder) and (split is None or not Path(split).is_file()):
        require_unpacked(folder)
        contents = ReleaseContents.read_folder(folder)
        findings: list[AuditFinding] = []
        checks = list(check_release(contents, findings))
        layout = read_release_layout(contents, None if split is None else str(split))
        return _check_layout(str(path), folder, layout, options, checks, findings)
    if (folder / GEOGRAPHER_FOLDER).is_dir():
        raise UsageError(f"'{path}' is a dataset of geographer. Use certify and verify, or audit a release of it.")
    index = FolderIndex(folder)
    layout, croissant = read_layout(index, chosen)
    findings = [] if croissant is None else [*croissant.findings]
    if export_format is None:
        last_check = _check_checksums(croissant, findings)
    else:
        layout, last_check = describe_export(layout, export_format), check_manifest(folder, findings)
    report = _check_layout(str(path), folder, layout, options, [], findings)
    report.checks.append(last_check)
    return report


def read_layout(index: FolderIndex, chosen: Path | None = None) -> tuple[Layout, CroissantFile | None]:
    """Recognise the layout of a folder: by a file that the user chose, else by the first reader that fits."""
    documents = select_documents(index)
    croissant = read_croissant(index, documents)
    if chosen is not None:
        layout = _read_chosen(index, documents, croissant, chosen)
        others = [] if any(sample.annotations for sample in layout.samples) else [read_coco(index, documents)]
        return complete_layout(index, documents, layout, [other for other in others if other]), croissant
    readers: list[Callable[[], Layout | None]] = [
        lambda: None if croissant is None else read_croissant_split(index, croissant),
        lambda: read_coco(index, documents),
        lambda: read_configuration(index, documents),
        lambda: read_split_lists(index, documents),
        lambda: read_folders(index),
    ]
    without_split: list[Layout] = []
    for read in readers:
        found = read()
        if found is not None and found.has_split:
            return complete_layout(index, documents, found, without_split), croissant
        without_split += [] if found is None else [found]
    layout = without_split.pop(0) if without_split else read_without_split(index)
    return complete_layout(index, documents, layout, without_split), croissant


def _find_folder(path: Path, split: Path | None) -> tuple[Path, Path | None]:
    """Return the folder to audit, and the file that says its subsets: the split file, or a file given as path."""
    try:
        if path.is_dir():
            return path, split
        if path.is_file():
            return path.parent, split or path
    except (OSError, ValueError) as error:
        raise StorageError(f"'{path}' cannot be read ({error}). Check the path and its rights.") from error
    raise NotFoundError(f"'{path}' does not exist. Pass the folder of a dataset.")


def _read_chosen(index: FolderIndex, documents: list[Document], croissant: CroissantFile | None, path: Path) -> Layout:
    document = require_document(path, index.root)
    family = [document, *_list_siblings(documents, document)]
    if croissant is not None and croissant.document.path.resolve() == path.resolve():
        if layout := read_croissant_split(index, croissant):
            return layout
        raise UsageError(f"'{path}' names no splits of images in the folder. Pass a list as --split.")
    layout = read_coco(index, family, is_chosen=True) or read_configuration(index, [document], is_chosen=True)
    layout = layout or read_split_lists(index, family, is_chosen=True)
    if layout is None:
        raise UsageError(f"'{path}' is not the list of a split. Pass a text, CSV, JSON, YAML or Parquet file.")
    return layout


def _list_siblings(documents: list[Document], chosen: Document) -> list[Document]:
    """Return the documents whose names differ from that of the chosen one in the subset only."""
    family = replace_subset(chosen.name)
    if family == chosen.name:
        return []
    if not chosen.is_inside:
        paths = sorted(path for path in chosen.path.parent.iterdir() if path.is_file() and path.name != chosen.name)
        documents = [Document(path, path.name, is_inside=False) for path in paths]
    return [
        document for document in documents if document.name != chosen.name and replace_subset(document.name) == family
    ]


def _check_layout(
    path: str,
    root: Path,
    layout: Layout,
    options: AuditOptions,
    checks: list[AuditCheck],
    findings: list[AuditFinding],
) -> AuditReport:
    """Read the images of a layout and run the checks; `checks` and `findings` are what was found before."""
    samples = layout.samples
    describe = near_duplicates.describe_pixels if options.with_near_duplicates and layout.has_split else None
    paths = sorted({sample.path for sample in samples})
    facts = read_image_facts(root, paths, describe, workers=options.workers, progress=options.progress)
    subsets = sort_subsets(sample.subset for sample in samples if sample.subset is not None)
    number = {name: index for index, name in enumerate(subsets)}
    codes = np.array([number.get(sample.subset or "", -1) for sample in samples], dtype=np.int64)
    read = ReadSamples(samples, [facts[sample.path] for sample in samples], codes, subsets)
    leaks, findings = LeakTable(samples), [*findings, *layout.findings]
    checks = [*checks, *_run_checks(read, layout, root, leaks, findings, options)]
    findings.sort(key=AuditFinding.sort_key)
    return AuditReport(
        path,
        layout.name,
        files.count_subsets(layout),
        files.count_classes(layout),
        checks,
        leaks,
        findings,
        layout.notes,
    )


def _run_checks(
    read: ReadSamples,
    layout: Layout,
    root: Path,
    leaks: LeakTable,
    findings: list[AuditFinding],
    options: AuditOptions,
) -> Iterator[AuditCheck]:
    yield from duplicates.check_duplicates(read, leaks)
    yield near_duplicates.check_near_duplicates(read, leaks, is_wanted=options.with_near_duplicates)
    georeferenced = ground.select_ground(read)
    yield ground.check_overlaps(read, georeferenced, leaks)
    distance, rows = ground.check_distance(read, georeferenced, leaks, options.buffer_m)
    yield distance
    findings += [ground.make_distance_finding(row) for row in rows]
    yield objects.check_objects(read, leaks)
    yield names.check_names(read, findings)
    yield duplicates.check_labels(read, root, findings)
    findings += [*files.find_unreadable(read), *files.find_outside_boxes(read), *files.find_empty_subsets(layout)]
    findings += [
        *files.find_containers(read),
        *duplicates.find_blank_images(read),
        *duplicates.find_repeated_images(read),
    ]
    yield files.check_classes(layout, findings)
    yield from _check_files(read, findings)


def _check_files(read: ReadSamples, findings: list[AuditFinding]) -> Iterator[AuditCheck]:
    count = format_count(len({sample.path for sample in read.samples}), "image")
    missing, unreadable = {"missing file", "empty subset"}, {"unreadable file", "unreadable annotations"}
    there = "every listed file is there"
    yield files.make_count_check("listed files", missing, findings, there, "of the listed files and subsets missing")
    if read.samples:
        holds, fails = f"{count} were read to the end", f"of {count} cannot be read"
        yield files.make_count_check("readable files", unreadable, findings, holds, fails)
    else:
        yield AuditCheck("readable files", Verdict.NOT_CHECKED, "no image was found")
    if any(sample.box_extent or sample.annotations for sample in read.samples):
        kinds = {"box out of image", "annotation without image"}
        yield files.make_count_check(
            "annotations", kinds, findings, "all boxes lie in their images", "faults of boxes or annotations"
        )


def _check_checksums(croissant: CroissantFile | None, findings: list[AuditFinding]) -> AuditCheck:
    if croissant is None:
        return AuditCheck("checksums", Verdict.NOT_CHECKED, "no document lists checksums (Croissant does)")
    name, rest = show_path(croissant.document.name), ""
    if croissant.unchecked:
        rest = f"; not checked: {', '.join(croissant.unchecked[:3])}"
        rest += f" and {len(croissant.unchecked) - 3:,} more" if len(croissant.unchecked) > 3 else ""
    if not croissant.checked and not croissant.findings:
        return AuditCheck("checksums", Verdict.NOT_CHECKED, f"{name} lists no local file with a checksum{rest}")
    checked = format_count(croissant.checked, "file")
    check = files.make_count_check(
        "checksums",
        {"checksum mismatch"},
        findings,
        f"{checked} have the checksum in {name}",
        f"of {checked} differ from {name}",
    )
    return check._replace(explanation=check.explanation + rest)
