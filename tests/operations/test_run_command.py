"""Run a command: outputs become rasters or labels, failures record nothing, and a rerun replays it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import CommandFailedError, ConflictError, CorruptError, NotFoundError, UsageError
from geographer.cli import geographer_command
from tests.sample_history import read_contents, write_scenes
from tests.shared_folders import copy_once

SCRIPT = """
import sys
from pathlib import Path
import rasterio

source, target = map(Path, sys.argv[1:3])
target.mkdir(parents=True, exist_ok=True)
for path in sorted(source.glob("*.tif")):
    with rasterio.open(path) as raster:
        pixels, profile = raster.read(), raster.profile
    with rasterio.open(target / path.name.replace("a.tif", f"{sys.argv[3]}.tif"), "w", **profile) as written:
        written.write(255 - pixels)
(target / "notes.txt").write_text("done")
"""
STEP = (sys.executable, "invert.py", "ponds/rasters/source", "out", "inverted")


def run_git(folder, *words):
    command = ["git", "-C", str(folder), "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def make_project(folder):
    """A repository with a script, and the dataset `ponds` with one raster in it."""
    (folder / "invert.py").write_text(SCRIPT)
    run_git(folder, "init", "-q")
    (folder / ".gitignore").write_text("ponds\n")
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-qm", "A script")
    dataset = Dataset.init(folder / "ponds", scm=False)
    dataset.add_rasters(write_scenes(folder / "scenes", "a"))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return copy_once(tmp_path_factory, "run_command", make_project)


@pytest.fixture
def project(template, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(template, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def dataset(project):
    return Dataset.open(project / "ponds")


def read_files(dataset, position):
    rows = dataset._unit_of_work.open_tables(position)
    with rows as (connection, _):
        found = connection.execute("SELECT role, path, sha256, raster_id, label FROM log.command_file ORDER BY 1, 2")
        return found.fetchall()


def is_running(pid):
    """Whether a process runs; one that ended may be there until its parent looks."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")


def hash_file(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_outputs_become_rasters(dataset, project):
    """Inputs are those of the dataset, the code is a commit, other outputs are kept by digest; `why` names the run."""
    result = dataset.run_command(
        STEP, inputs=["ponds/rasters/source"], outputs=["out"], collection="negatives", message="invert"
    )
    payload = dataset.show(result.position).payload
    assert {name: payload[name] for name in ("rasters", "labels", "inputs", "outputs", "exit_code", "folder")} == {
        **{"rasters": 1, "labels": 0, "inputs": 1, "outputs": 2, "exit_code": 0, "folder": ".."},
    }
    assert payload["code"] == {"commit": run_git(project, "rev-parse", "HEAD"), "root": "."}
    assert payload["environment"] == sorted(os.environ)
    assert not any(value in json.dumps(payload["environment"]) for value in ("/usr/bin", os.environ["HOME"]))
    assert read_files(dataset, result.position) == [
        ("input", "ponds/rasters/source/a.tif", hash_file(project / "ponds/rasters/source/a.tif"), "a", None),
        ("output", "out/inverted.tif", hash_file(project / "out/inverted.tif"), "inverted", None),
        ("output", "out/notes.txt", hash_file(project / "out/notes.txt"), None, None),
    ]
    (row,) = dataset.rasters(where="collection = 'negatives'").to_pylist()
    assert (row["raster_id"], row["path"]) == ("inverted", "rasters/negatives/inverted.tif")
    assert dataset.verify() == []
    sentence = dataset.explain_object("inverted")["sentences"][0]
    assert "was made by a command" in sentence
    assert "invert.py ponds/rasters/source out" in sentence
    assert [row["kind"] for row in dataset.history("inverted")] == ["command_run"]


def test_outputs_become_labels_of_rasters_of_their_names(dataset, project):
    (project / "invert.py").write_text(SCRIPT + "# changed\n")
    step = (*STEP[:4], "a")
    result = dataset.run_command(step, inputs=["ponds/rasters/source"], outputs=["out"], label="negative")
    assert dataset.labels().to_pylist()[0]["path"] == "labels/negative/source/a.tif"
    diff = subprocess.run(["git", "diff", "--binary", "HEAD"], cwd=project, capture_output=True, check=True).stdout
    assert dataset.show(result.position).payload["code"]["diff"] == hashlib.sha256(diff).hexdigest()
    assert "was made by a command" in dataset.explain_object("label:negative/a")["sentences"][0]
    with pytest.raises(NotFoundError, match="'inverted' has the name of no raster"):
        dataset.run_command((*STEP[:3], "other", "inverted"), outputs=["other"], label="other")
    report = dataset.rerun_revision(commands=True)
    assert [(item.label, item.result) for item in report.files if item.label] == [("negative", "identical bytes")]
    run_git(project, "checkout", "-q", "invert.py")
    report = dataset.rerun_revision(commands=True)
    assert "had changes that no commit has" in str(report.files[0].reason)


def test_rerun_replays_a_command(dataset, project):
    """In a scratch folder, from the recorded commit and bytes; only if its user says so."""
    dataset.run_command(STEP, inputs=["ponds/rasters/source"], outputs=["out"], collection="negatives")
    (project / "invert.py").write_text("raise SystemExit('the wrong version')")
    shutil.rmtree(project / "out")
    before = read_contents(project)
    report = dataset.rerun_revision()
    assert [item.result for item in report.files] == ["not made"] * 2
    assert "which rerun runs only with --commands" in str(report.files[0].reason)
    report = dataset.rerun_revision(commands=True)
    assert [(item.raster_id, item.result) for item in report.files] == [
        ("inverted", "identical bytes"),
        ("out/notes.txt", "identical bytes"),
    ]
    assert [item.plan for item in report.events] == ["same"]
    kept = {path: content for path, content in before.items() if not path.endswith((".sqlite", ".stamp"))}
    after = {
        path: content for path, content in read_contents(project).items() if not path.endswith((".sqlite", ".stamp"))
    }
    assert after == kept


def test_rerun_compares_what_a_command_writes(dataset, project):
    """What a command writes otherwise, or no longer, is named; so are inputs that are not as recorded."""
    script = (
        "python invert.py ponds/rasters/source out inverted && cat count.txt > out/notes.txt && date +%s%N > out/time"
    )
    command = ["bash", "-c", f"{script}; [ -e {project}/again ] && rm out/inverted.tif; true"]
    (project / "count.txt").write_text("1")
    inputs = ["ponds/rasters/source", "count.txt"]
    dataset.run_command(command, inputs=inputs, outputs=["out"], collection="negatives")
    report = dataset.rerun_revision(commands=True)
    results = {item.raster_id: item.result for item in report.files}
    assert results == {
        "inverted": "identical bytes",
        "out/notes.txt": "identical bytes",
        "out/time": "different",
    }
    (project / "again").touch()
    report = dataset.rerun_revision(commands=True)
    assert {item.reason for item in report.files if item.result == "not made"} == {"the command did not write it again"}
    (project / "count.txt").write_text("2")
    report = dataset.rerun_revision(commands=True)
    reason = "input 'count.txt' is missing, or has other bytes than recorded"
    assert {item.reason for item in report.files} == {reason}


def test_rerun_leaves_out_absolute_outputs(dataset, project):
    """They would be written in place of those that are there."""
    dataset.run_command((*STEP[:3], str(project / "out"), "x"), outputs=[str(project / "out")], collection="negatives")
    report = dataset.rerun_revision(commands=True)
    assert all(str(item.reason).startswith("the command writes to an absolute path") for item in report.files)
    assert [item.plan for item in report.events] == ["not made"]


def test_failed_command_records_nothing(dataset, project):
    """Its exit code is that of the error and of the command line; with --keep-failed, the log keeps it."""
    head, command = dataset.show("HEAD").digest, ["bash", "-c", "touch out.tif; exit 7"]
    with pytest.raises(CommandFailedError, match="failed with exit code 7") as caught:
        dataset.run_command(command, outputs=["out.tif"], collection="negatives")
    assert (caught.value.exit_code, dataset.show("HEAD").digest) == (7, head)
    runner, options = CliRunner(), ["-C", str(dataset.root), "run", "--replace", "--keep-failed", "--output", "out.tif"]
    done = runner.invoke(geographer_command, [*options, "--", *command])
    assert done.exit_code == 7
    (event,) = dataset.log(1)
    assert (event.kind, event.payload["exit_code"], event.payload["outputs"]) == ("command_run", 7, 0)
    with pytest.raises(NotFoundError, match="no program 'no-such-program'"):
        dataset.run_command(["no-such-program"])
    with pytest.raises(CommandFailedError) as caught:
        dataset.run_command(["bash", "-c", "kill -9 $$"])
    assert caught.value.exit_code == 128 + signal.SIGKILL


def test_outputs_must_be_new_and_written(dataset, project):
    head = dataset.show("HEAD").digest
    with pytest.raises(NotFoundError, match=r"did not write output 'out\.tif'"):
        dataset.run_command(["true"], outputs=["out.tif"], collection="negatives")
    (project / "out.tif").write_text("old")
    with pytest.raises(ConflictError, match=r"output 'out\.tif' exists already"):
        dataset.run_command(["true"], outputs=["out.tif"], collection="negatives")
    with pytest.raises(NotFoundError, match="did not write"):
        dataset.run_command(["true"], outputs=["out.tif"], collection="negatives", replace=True)
    with pytest.raises(UsageError, match="keeps its own files"):
        dataset.run_command(["true"], outputs=["ponds/rasters/x.tif"], collection="negatives")
    with pytest.raises(UsageError, match="no effect without --output"):
        dataset.run_command(["true"], collection="negatives")
    with pytest.raises(UsageError, match="both input and output"):
        dataset.run_command(["true"], inputs=["out.tif"], outputs=["./out.tif"])
    with pytest.raises(UsageError, match="no command"):
        dataset.run_command([])
    assert dataset.show("HEAD").digest == head


def test_rasters_are_replaced_on_request(dataset):
    step = (*STEP[:3], "out", "inverted")
    dataset.run_command(step, outputs=["out"], collection="negatives")
    shutil.rmtree("out")
    with pytest.raises(ConflictError, match="raster 'inverted' exists already"):
        dataset.run_command(step, outputs=["out"], collection="negatives")
    shutil.rmtree("out")
    result = dataset.run_command(step, outputs=["out"], collection="negatives", replace=True)
    assert (result.changed, result.summary["rasters"], result.summary["outputs"]) == (True, 0, 2)
    with pytest.raises(ConflictError, match="raster 'a' exists in collection 'source'"):
        dataset.run_command((*STEP[:3], "other", "a"), outputs=["other"], collection="negatives", replace=True)


def test_altered_input_of_the_dataset_is_refused(dataset, project):
    path = project / "ponds/rasters/source/a.tif"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])
    with pytest.raises(CorruptError, match="is not as recorded"):
        dataset.run_command(["true"], inputs=["ponds/rasters/source/a.tif"])


def test_credentials_in_a_command_are_not_recorded(dataset):
    result = dataset.run_command(["bash", "-c", "true", "--password", "hunter2", "https://ada:secret@example.org/x"])
    text = json.dumps(dataset.show(result.position).to_dict())
    assert not {word for word in ("hunter2", "secret@", "ada:secret") if word in text}


def test_head_that_moves_meanwhile(dataset, project):
    """Another command's event that concerns neither inputs nor outputs is no obstacle; one that does is."""

    def add_meanwhile(name, collection):
        while not (project / "started").exists():
            time.sleep(0.01)
        Dataset.open(dataset.root).add_rasters(write_scenes(project / "more", name, seed=3), collection=collection)
        (project / "added").touch()

    wait = "touch started; until [ -e added ]; do sleep 0.02; done; rm started added; "
    for number, (name, collection) in enumerate((("x", "others"), ("inverted", "negatives"))):
        thread = threading.Thread(target=add_meanwhile, args=(name, collection))
        thread.start()
        command = ["bash", "-c", f"{wait} {' '.join(STEP[:3])} out{number} {('first', 'inverted')[number]}"]
        if number:
            with pytest.raises(ConflictError, match="changed while the command ran"):
                dataset.run_command(command, outputs=["out1"], collection="negatives")
        else:
            assert dataset.run_command(command, outputs=["out0"], collection="negatives").summary["rasters"] == 1
        thread.join()


def test_interrupted_command_is_ended(project):
    """SIGTERM to geographer ends the command and what it started; nothing is recorded."""
    command = [
        sys.executable,
        "-m",
        "geographer",
        "-C",
        "ponds",
        "run",
        "--",
        "bash",
        "-c",
        "sleep 60 & echo $! > pid; wait",
    ]
    process = subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True)
    while not (project / "pid").exists() or not (project / "pid").read_text().strip():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, "Interrupted" in errors) == (130, True)
    assert not is_running(int((project / "pid").read_text()))
    assert Dataset.open(project / "ponds").log(1)[0].kind == "rasters_added"
