"""Layouts: which image is in which subset, as folders, lists, COCO, YOLO, TerraTorch and Croissant say."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from geographer.base.errors import UsageError
from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.names import find_folder_subset
from geographer.outputs.audit.run import audit_dataset, read_layout
from tests.outputs.audit.dataset_files import make_coco, write_array, write_images, write_json, write_text

NAMES = ("a", "b", "c")


def read_subsets(root, chosen=None):
    """Return the subset of each path, without images that are in none."""
    layout, _ = read_layout(FolderIndex(root), chosen)
    return {sample.path: sample.subset for sample in layout.samples if sample.subset is not None}


def list_kinds(root, **options):
    """Return the findings of an audit as (kind, subject)."""
    return {
        (finding.kind, finding.subject) for finding in audit_dataset(root, near_duplicates=False, **options).findings
    }


@pytest.mark.parametrize(
    ("paths", "subsets"),
    [
        (("train/a.npy", "val/b.npy", "test/c.npy"), "train val test"),
        (("Training/x/a.npy", "validation/x/b.npy", "TEST/c.npy"), "train val test"),
        (("img_dir/train/a.npy", "img_dir/dev/b.npy", "img_dir/test/c.npy"), "train val test"),
        (("train2017/a.npy", "val2017/b.npy", "test2017/c.npy"), "train val test"),
        (
            ("Train/Rural/images_png/1.npy", "Val/Rural/images_png/1.npy", "Test/Urban/images_png/1.npy"),
            "train val test",
        ),
        (("training_chips/a.npy", "validation_chips/b.npy", "test_data/c.npy"), "train val test"),
        (("test/a.npy", "test_internal/b.npy", "train/c.npy"), "test test_internal train"),
        (("A/train_0.npy", "A/val_0.npy", "A/test_0.npy"), "train val test"),
    ],
)
def test_folders_give_subsets(tmp_path, paths, subsets):
    write_images(tmp_path, *paths)
    assert read_subsets(tmp_path) == dict(zip(paths, subsets.split(), strict=True))


EXPECTED = {"images/a.npy": "train", "images/b.npy": "val", "images/c.npy": "test"}
LISTS = {
    "csv": ("split.csv", "file,split\na.npy,train\nb.npy,val\nc.npy,test\n"),
    "other columns": ("meta.csv", "n;Subset;x;image_id\n1;Train;9;a\n2;validation;9;b\n3;TEST;9;c\n"),
    "no header": ("list.csv", "train,images/a.npy\nval,images/b.npy\ntest,images/c.npy\n"),
    "tsv": ("split.tsv", "filename\tset\n./images/a.npy\ttrain\n./images/b.npy\tval\n/data/images/c.npy\ttest\n"),
    "wide": ("split_IDs.csv", "train,validation,test\na,b,c\n"),
    "json lists": ("splits.json", '{"train": ["a"], "valid": ["b.npy"], "test": ["images/c.npy"]}'),
    "json partition": ("x/default_partition.json", '{"train": ["a"], "valid": ["b"], "test": ["c"]}'),
    "json nested": ("splits.json", '{"splits": {"train": ["a"], "val": ["b"], "test": ["c"]}}'),
    "json records": (
        "split.json",
        '[{"file": "a.npy", "split": "train"}, {"file": "b.npy", "split": "val"}, {"file": "c.npy", "split": "test"}]',
    ),
    "json mapping": ("split.json", '{"a.npy": "train", "b.npy": "val", "c.npy": "test"}'),
    "json objects": ("data.json", '{"a": {"subset": "train"}, "b": {"subset": "dev"}, "c": {"subset": "test"}}'),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_give_subsets(tmp_path, name):
    write_images(tmp_path, *EXPECTED)
    path, text = LISTS[name]
    write_text(tmp_path, path, text)
    assert read_subsets(tmp_path) == EXPECTED


@pytest.mark.parametrize(
    "texts",
    [
        ("a.npy", "b.npy", "c.npy"),
        ("a\n# comment\n", "b", "c"),
        ("images/a.npy 3", "images/b.npy 1", "images/c.npy 2"),
        ("a.jpg,forest", "b.jpg,river", "c.jpg,lake"),
        ("some/root/images/a", "some/root/images/b", "some/root/images/c"),
    ],
)
@pytest.mark.parametrize(
    "pattern", ["{}.txt", "splits/{}.txt", "eurosat-{}.txt", "{}_list.csv", "ImageSets/Main/{}.txt"]
)
def test_text_files_give_subsets(tmp_path, texts, pattern):
    write_images(tmp_path, *EXPECTED)
    for subset, text in zip(("train", "val", "test"), texts, strict=True):
        write_text(tmp_path, pattern.format(subset), f"{text}\n")
    assert read_subsets(tmp_path) == EXPECTED


def test_parquet_gives_subsets(tmp_path):
    write_images(tmp_path, *EXPECTED)
    table = pa.table({"aoi": [1, 2, 3], "tile": list(NAMES), "fold": [0, 1, 2], "wkb": [b"\0", b"\1", b"\2"]})
    pq.write_table(table, tmp_path / "samples.parquet")
    assert read_subsets(tmp_path) == {"images/a.npy": "fold 0", "images/b.npy": "fold 1", "images/c.npy": "fold 2"}


def test_entries_mean_folders_and_starts_of_names(tmp_path):
    write_images(tmp_path, "s2/patch_1/B02.npy", "s2/patch_1/B03.npy", "s2/patch_2/B02.npy", "t/chip_9_merged.npy")
    write_text(tmp_path, "train.txt", "patch_1\n")
    write_text(tmp_path, "test.txt", "patch_2\nchip_9\n")
    assert read_subsets(tmp_path) == {
        "s2/patch_1/B02.npy": "train",
        "s2/patch_1/B03.npy": "train",
        "s2/patch_2/B02.npy": "test",
        "t/chip_9_merged.npy": "test",
    }


def test_missing_entry_is_not_another_subsets_file(tmp_path):
    write_images(tmp_path, "data/train/a.npy", "data/train/b.npy", "data/val/c.npy")
    write_text(
        tmp_path, "split.csv", "path,split\ntrain/a.npy,train\ntrain/b.npy,train\nval/a.npy,val\nval/c.npy,val\n"
    )
    report = audit_dataset(tmp_path, near_duplicates=False)
    assert len(report.leaks) == 0
    assert [(f.kind, f.subject) for f in report.findings if f.severity == "fault"] == [("missing file", "val/a.npy")]


def test_other_splits_are_named_and_can_be_chosen(tmp_path):
    write_images(tmp_path, *EXPECTED)
    for name, texts in {"all": ("a", "b", "c"), "all-small": ("b", "a", "")}.items():
        for subset, text in zip(("train", "val", "test"), texts, strict=True):
            write_text(tmp_path, f"{name}-{subset}.txt", f"{text}\n")
    layout, _ = read_layout(FolderIndex(tmp_path))
    assert {s.path: s.subset for s in layout.samples} == EXPECTED
    assert any("other splits were found and not used: all-small-train.txt" in note for note in layout.notes)
    chosen = {"images/a.npy": "val", "images/b.npy": "train"}
    assert read_subsets(tmp_path, tmp_path / "all-small-train.txt") == chosen


def test_split_file_may_lie_elsewhere(tmp_path):
    write_images(tmp_path / "data", *EXPECTED)
    path = write_json(tmp_path, "mine.json", {"train": ["a"], "val": ["b"], "test": ["c"]})
    assert read_subsets(tmp_path / "data", path) == EXPECTED


def test_trainval_list_is_left_out(tmp_path):
    write_images(tmp_path, *EXPECTED)
    for subset, text in {"train": "a", "val": "b", "trainval": "a\nb", "test": "c"}.items():
        write_text(tmp_path, f"Main/{subset}.txt", f"{text}\n")
    assert read_subsets(tmp_path) == EXPECTED


def test_coco_files_give_subsets_and_faults(tmp_path):
    write_images(tmp_path, "train2017/1.npy", "val2017/1.npy")
    train = make_coco({1: "1.npy", 2: "gone.npy"}, {1: [1, 1, 2, 2], 2: [0, 0, 9, 9], 77: [0, 0, 1, 1]})
    write_json(tmp_path, "annotations/instances_train2017.json", train)
    write_json(tmp_path, "annotations/instances_val2017.json", make_coco({1: "1.npy"}, {1: [3, 3, 5, 5]}))
    assert read_subsets(tmp_path) == {"train2017/1.npy": "train", "val2017/1.npy": "val"}
    assert list_kinds(tmp_path) >= {
        ("missing file", "gone.npy"),
        ("box out of image", "annotation 1 of 1.npy"),
        ("annotation without image", "annotation 3 in annotations/instances_train2017.json"),
    }


def test_one_coco_file_gives_subsets_by_field(tmp_path):
    write_images(tmp_path, "x/1.npy", "x/2.npy")
    content = make_coco({1: "1.npy", 2: "2.npy"})
    content["images"][0]["split"], content["images"][1]["split"] = "train", "test"
    write_json(tmp_path, "all.json", content)
    assert read_subsets(tmp_path) == {"x/1.npy": "train", "x/2.npy": "test"}


def test_annotations_and_split_may_lie_in_two_files(tmp_path):
    write_images(tmp_path, *EXPECTED)
    write_json(tmp_path, "annotations.json", make_coco({1: "a.npy", 2: "b.npy"}, {1: [1, 1, 2, 2], 2: [0, 0, 9, 9]}))
    write_json(tmp_path, "split.json", {"train": ["a"], "val": ["b"], "test": ["c"]})
    report = audit_dataset(tmp_path, near_duplicates=False)
    assert report.subsets == {"train": 1, "val": 1, "test": 1}
    assert report.classes == {"tree": {"train": 1, "val": 1}}
    assert ("box out of image", "annotation 2 of b.npy") in {(f.kind, f.subject) for f in report.findings}


def test_table_of_classes_is_joined(tmp_path):
    write_images(tmp_path, "train/a.npy", "train/b.npy", "test/c.npy")
    (tmp_path / "test/d.npy").write_bytes((tmp_path / "train/a.npy").read_bytes())
    write_text(tmp_path, "labels.csv", "id,label\na,1\nb,2\nc,1\nd,2\n")
    report = audit_dataset(tmp_path, near_duplicates=False)
    assert report.classes == {"1": {"train": 1, "test": 1}, "2": {"train": 1, "test": 1}}
    assert [f.fields["labels"] for f in report.findings if f.kind == "contradicting labels"] == [["class 1", "class 2"]]
    assert [record["classes"] for record in report.leaks.iter_dicts()] == [["2", "1"]]


def test_many_images_in_one_file_are_not_said_to_be_compared(tmp_path):
    for part, first in {"train": 1, "test": 2}.items():
        write_array(tmp_path, f"x_{part}.npy", np.arange(first, first + 99 * 192).reshape(99, 8, 8, 3))
    report = audit_dataset(tmp_path)
    assert {(f.kind, f.subject) for f in report.findings} == {
        ("many images in one file", "x_train.npy"),
        ("many images in one file", "x_test.npy"),
    }
    assert {str(check.verdict) for check in report.checks if check.name in ("identical file", "identical pixels")} == {
        "not checked"
    }


def test_documents_of_single_images_are_not_read(tmp_path):
    names = [f"{part}/{number}" for part in ("train", "test") for number in range(60)]
    write_images(tmp_path, *(f"images/{name}.npy" for name in names))
    for name in names:
        write_text(tmp_path, f"labels/{name}.txt", "train test\n")
        write_text(tmp_path, f"labels/{name}.json", "{")
    write_text(tmp_path, "labels/train/split.csv", "x\n")
    layout, _ = read_layout(FolderIndex(tmp_path))
    assert len(layout.samples) == 120
    assert any(note.startswith("left out 240 documents that lie beside single images") for note in layout.notes)


def test_copy_in_no_subset_is_no_leak(tmp_path):
    write_images(tmp_path, *EXPECTED)
    (tmp_path / "images/d.npy").write_bytes((tmp_path / "images/a.npy").read_bytes())
    write_json(tmp_path, "split.json", {"train": ["a"], "val": ["b"], "test": ["c"]})
    report = audit_dataset(tmp_path, near_duplicates=False)
    assert not report.is_leaking
    assert ("file in no subset", "images/d.npy") in {(f.kind, f.subject) for f in report.findings}


@pytest.mark.parametrize("name", ["test_region", "latest", "training_camp_a", "val_di_fiemme", "evaluation_2"])
def test_folders_of_other_names_are_no_subsets(name):
    assert find_folder_subset(name) == ("test" if name == "evaluation_2" else None)


def test_same_annotation_in_two_files_is_a_hint(tmp_path):
    write_images(tmp_path, "train/1.npy", "test/2.npy")
    write_json(tmp_path, "train.json", make_coco({1: "1.npy"}, {1: [1, 1, 2, 2]}))
    write_json(tmp_path, "test.json", make_coco({2: "2.npy"}, {2: [1, 1, 2, 2]}))
    report = audit_dataset(tmp_path, near_duplicates=False)
    assert ("same annotation", "hint") in {(f.kind, str(f.severity)) for f in report.findings}
    assert not report.is_leaking


def test_yolo_gives_subsets_and_boxes(tmp_path):
    write_images(tmp_path, "images/train/a.npy", "images/val/b.npy")
    write_text(tmp_path, "labels/train/a.txt", "0 0.5 0.5 0.2 0.2\n0 0.9 0.5 0.4 0.2\n")
    write_text(tmp_path, "data.yaml", "path: ../x\ntrain: images/train\nval: images/val\nnames: {0: tree}\n")
    assert read_subsets(tmp_path) == {"images/train/a.npy": "train", "images/val/b.npy": "val"}
    assert ("box out of image", "labels/train/a.txt, line 2") in list_kinds(tmp_path)


def test_terratorch_configuration_gives_subsets(tmp_path):
    write_images(
        tmp_path, *(f"chips/{name}_merged.npy" for name in NAMES), *(f"chips/{name}.mask.npy" for name in NAMES)
    )
    for subset, name in zip(("train", "val", "test"), NAMES, strict=True):
        write_text(tmp_path, f"chips/{subset}.txt", f"{name}\n")
    options = "".join(
        f"    {s}_data_root: <data>/chips\n    {s}_split: <data>/chips/{s}.txt\n" for s in ("train", "val", "test")
    )
    text = f'data:\n  init_args:\n{options}    img_grep: "*_merged.npy"\n    label_grep: "*.mask.npy"\n'
    write_text(tmp_path, "burn_scars.yaml", text)
    layout, _ = read_layout(FolderIndex(tmp_path))
    assert layout.name == "a TerraTorch configuration (burn_scars.yaml)"
    listed = {sample.path: (sample.subset, sample.label_files) for sample in layout.samples}
    assert listed["chips/a_merged.npy"] == ("train", ("chips/a.mask.npy",))
    assert listed["chips/c_merged.npy"] == ("test", ("chips/c.mask.npy",))


def make_croissant(root):
    """Write a Croissant document with a split by path, and checksums: one right, one wrong, one of another machine."""
    write_images(root, "images/train/a.npy", "images/test/b.npy")
    write_text(root, "right.txt", "right")
    write_text(root, "wrong.txt", "wrong")
    digest = hashlib.sha256(b"right").hexdigest()
    files = [
        {"@type": "cr:FileObject", "@id": "right", "contentUrl": "right.txt", "sha256": digest},
        {"@type": "cr:FileObject", "@id": "wrong", "contentUrl": "wrong.txt", "sha256": digest},
        {"@type": "cr:FileObject", "@id": "far", "contentUrl": "https://example.org/x.zip", "sha256": digest},
        {"@type": "cr:FileObject", "@id": "up", "contentUrl": "../../etc/passwd", "sha256": digest},
        {"@type": "cr:FileSet", "@id": "all", "includes": "images/*/*.npy"},
    ]
    field = {
        "@id": "images/split",
        "references": {"field": {"@id": "splits/name"}},
        "source": {
            "fileSet": {"@id": "all"},
            "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": "images/(train|test)/.*"},
        },
    }
    splits = {"@id": "splits", "dataType": "cr:Split", "data": [{"splits/name": "train"}, {"splits/name": "test"}]}
    record_sets = [splits, {"@id": "images", "field": [field]}]
    context = {"cr": "http://mlcommons.org/croissant/"}
    write_json(root, "croissant.json", {"@context": context, "distribution": files, "recordSet": record_sets})


def test_croissant_gives_subsets_and_checksums(tmp_path):
    make_croissant(tmp_path)
    assert read_subsets(tmp_path) == {"images/train/a.npy": "train", "images/test/b.npy": "test"}
    report = audit_dataset(tmp_path, near_duplicates=False)
    assert [(f.kind, f.subject) for f in report.findings if f.severity == "fault"] == [
        ("checksum mismatch", "wrong.txt")
    ]
    (check,) = (check for check in report.checks if check.name == "checksums")
    assert str(check.verdict) == "fails"
    assert "far (its contentUrl is no path in the folder; the network is not asked)" in check.explanation
    assert "up (its contentUrl" in check.explanation


def test_equal_images_with_other_masks_contradict(tmp_path):
    write_images(tmp_path, "images/a.npy", "images/c.npy")
    write_images(tmp_path, "masks/a.npy", "masks/b.npy")
    (tmp_path / "images/b.npy").write_bytes((tmp_path / "images/a.npy").read_bytes())
    write_json(tmp_path, "split.json", {"train": ["a"], "test": ["b", "c"]})
    findings = audit_dataset(tmp_path, near_duplicates=False).findings
    (found,) = (finding for finding in findings if finding.kind == "contradicting labels")
    assert found.fields["paths"] == ["images/a.npy", "images/b.npy"]


def test_folders_of_bands_are_no_classes(tmp_path):
    write_images(
        tmp_path, *(f"{subset}/{band}/{n}.npy" for subset in ("train", "test") for band in "AB" for n in (1, 2))
    )
    assert audit_dataset(tmp_path, near_duplicates=False).classes == {}


def test_class_that_a_subset_lacks_is_found(tmp_path):
    write_images(tmp_path, "train/forest/f1.npy", "train/river/r1.npy", "test/forest/f2.npy", "test/forest/f3.npy")
    report = audit_dataset(tmp_path, near_duplicates=False)
    assert report.classes == {"forest": {"train": 1, "test": 2}, "river": {"train": 1}}
    assert ("class missing in subset", "river") in {(f.kind, f.subject) for f in report.findings}


def test_names_of_scenes_are_hints(tmp_path):
    write_images(
        tmp_path,
        "train/S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57.npy",
        "train/S2A_MSIL2A_20180405T101031_N9999_R022_T33UUP_26_58.npy",
        "test/S2B_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_58.npy",
    )
    assert list_kinds(tmp_path) == {
        ("same scene in several subsets", "33UUP_20170613"),
        ("same place by name in several subsets", "33UUP_26_58"),
    }


def test_empty_subset_is_found(tmp_path):
    write_images(tmp_path, "train/a.npy", "val/b.npy")
    (tmp_path / "test").mkdir()
    assert ("empty subset", "test") in list_kinds(tmp_path)


def test_blank_images_do_not_leak(tmp_path):
    for path in ("train/a.npy", "test/b.npy"):
        write_array(tmp_path, path, np.zeros((1, 16, 16), np.uint8))
    report = audit_dataset(tmp_path)
    assert not report.is_leaking
    assert {str(check.verdict) for check in report.checks if "identical" in check.name} == {"not checked"}


@pytest.mark.parametrize("text", ["file,split\na.npy,train\n", "a,b\n1,2\n", "", "\0\0\0"])
def test_useless_split_file_is_refused(tmp_path, text):
    write_images(tmp_path, *EXPECTED)
    with pytest.raises(UsageError, match="is not the list of a split"):
        audit_dataset(tmp_path, write_text(tmp_path, "mine.csv", text))
