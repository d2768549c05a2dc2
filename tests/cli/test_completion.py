"""Completion: what a line offers, in this process; and what real shells make of it, in a pseudo-terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from geographer import Dataset
from geographer.cli import COMPLETE_VARIABLE, geographer_command
from geographer.cli.completers import find_kind, is_free_text
from geographer.cli.completion import ZshScript, answer_shell
from geographer.cli.named_text import NamedText
from tests.cli.runner import run_command
from tests.cli.test_startup import list_imports
from tests.sample_history import SampleHistory

FREE_NAMES = {"--background", "--context-class", "--layer", "--encoding", "--provider", "--cutter", "--maker"}
"""Options with the metavar NAME that take what no dataset knows: new names, or those of another file or of a plugin."""
IDS = ["lake 1", "lake 2", "a:b", 'q"uote', "it's", "do$lar`x`", "new\nline", "exc!am", "été", "*star", "eq=ual"]
LINES = {
    "features --feature lak": "lake ",
    "features --feature lake\\ 1": "lake 1",
    'features --feature "q': 'q"uote',
    "features --feature 'i": "it's",
    "features --feature d": "do$lar`x`",
    "features --feature n": "new\nline",
    "why feature:a:": "feature:a:b",
    "features --feature=eq": "--feature=eq=ual",
}
"""What is typed before the tabulator, and the last argument that geographer then gets."""
SHELLS = {
    "bash": ("bash --norc --noprofile -i", "source <(geographer completion bash)", LINES),
    "zsh": ("zsh -f -i", "autoload -Uz compinit; compinit -u; source <(geographer completion zsh)", LINES),
    "fish": ("fish --no-config -i", "geographer completion fish | source", LINES),
}
PROGRAM = """#!/bin/sh
if [ -n "$_GEOGRAPHER_COMPLETE" ] || [ "$1" = completion ]; then exec {python} -m geographer "$@"; fi
{python} -S -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@" >> {output}
"""
TIMEOUT_S = 60.0


def list_values(root: Path, *words: str) -> list[str]:
    """Return the values that complete the last of the words."""
    script = ZshScript(geographer_command, {}, "geographer", COMPLETE_VARIABLE)
    return [item.value for item in script.get_completions(["-C", str(root), *words[:-1]], words[-1])]


def test_lines_offer_what_fits(sample_history: SampleHistory):
    root = sample_history.root
    dataset = Dataset.open(root)
    tags = dataset.tags()["tag"].to_pylist()
    classes = sorted(dataset.classes()["class"].to_pylist())
    feature, raster = dataset.features()["feature_id"][0].as_py(), dataset.rasters()["raster_id"][0].as_py()
    label, labelled = (dataset.labels()[name][0].as_py() for name in ("label", "raster_id"))
    assert list_values(root, "fea") == ["features"]
    assert list_values(root, "features", "--fea") == ["--feature", "--features-from"]
    assert list_values(root, "cut", "ar") == ["around"]
    assert list_values(root, "export", "coco", "--labels", label[0]) == [label]
    assert list_values(root, "features", "--feature", feature) == [feature]
    assert raster in list_values(root, "why", raster[0])
    assert list_values(root, "checkout", "HE") == ["HEAD", "HEAD~1"]
    assert {*tags, "main"} <= {*list_values(root, "features", "--at", "")}
    assert list_values(root, "features", "--at", "@2")[:2] == ["@2", "@20"]
    assert list_values(root, "features", "--at=v1") == ["--at=v1"]
    assert list_values(root, "rename", "class", "") == classes
    assert list_values(root, "classes", "remap", classes[0]) == [f"{classes[0]}="]
    assert list_values(root, "import", "coco", "x.json", "--class-map", f"a={classes[0]}") == [f"a={classes[0]}"]
    assert list_values(root, "features", "--columns", "feature_id,cl") == ["feature_id,class"]
    assert list_values(root, "diff", "--only", "fe")[0].startswith("fe")
    assert list_values(root, "why", f"label:{label}/{labelled}") == [f"label:{label}/{labelled}"]
    assert list_values(root, "why", "cla") == ["class:"]
    assert list_values(root, "resolve", "--take", "t") == ["theirs"]
    assert list_values(root, "download", "n", "--source", "e") == ["eodag"]
    assert list_values(root, "completion", "z") == ["zsh"]


def test_ids_of_all_revisions_follow_at(sample_history: SampleHistory):
    dataset = Dataset.open(sample_history.root)
    now, then = (set(dataset.features(at=at)["feature_id"].to_pylist()) for at in (None, "v1"))
    (gone, *_) = sorted(then - now)
    assert list_values(dataset.root, "features", "--feature", gone) == []
    assert list_values(dataset.root, "features", "--at", "v1", "--feature", gone) == [gone]
    assert list_values(dataset.root, "restore", "features", gone) == [gone]


def test_old_options_are_not_offered(sample_history: SampleHistory):
    assert list_values(sample_history.root, "download", "n", "--into") == []
    assert list_values(sample_history.root, "download", "n", "--to-c") == ["--to-collection"]


def iter_text_parameters(group: click.Group, *path: str) -> Iterator[tuple[str, click.Parameter]]:
    context = click.Context(group, resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from iter_text_parameters(command, *path, name)
        for parameter in command.params:
            if parameter.type is click.STRING or isinstance(parameter.type, NamedText):
                yield " ".join((*path, name)), parameter


def test_each_text_parameter_has_a_kind_or_is_free():
    unknown = [
        f"{command} {parameter.opts[0]} {parameter.metavar}"
        for command, parameter in iter_text_parameters(geographer_command)
        if find_kind(parameter) is None and not is_free_text(parameter) and not FREE_NAMES & {*parameter.opts}
    ]
    assert unknown == []


@pytest.mark.parametrize(
    "words", ["geographer fea", "geographer -C nowhere features --feature a", "geographer features --class '"]
)
def test_answers_are_silent_outside_datasets(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["geographer", words, words.rpartition(" ")[2].strip("'")])
    assert answer_shell("bash_complete") == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out == ("plain\0features\0\0\n" if words == "geographer fea" else "\n")
    assert list(tmp_path.iterdir()) == []


def test_scripts_are_those_of_click(capsys: pytest.CaptureFixture[str]):
    for shell in ("bash", "zsh", "fish"):
        assert answer_shell(f"{shell}_source") == 0
        assert capsys.readouterr().out == run_command(Path(), "completion", shell)


def test_command_names_import_no_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(COMPLETE_VARIABLE, "fish_complete")
    assert not list_imports() & {"duckdb", "msgspec", "pyarrow", "numpy"}


@pytest.fixture(scope="module")
def dataset_root(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with ids that shells must quote."""
    folder = tmp_path_factory.mktemp("shells")
    features = [
        {"type": "Feature", "properties": {"id": name}, "geometry": {"type": "Point", "coordinates": [place, 5]}}
        for place, name in enumerate(IDS)
    ]
    (folder / "features.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    dataset.add_features(folder / "features.geojson", id="id", as_class="pond")
    return dataset.root


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_hostile_ids(shell: str, dataset_root: Path, tmp_path: Path):
    command, setup, lines = SHELLS[shell]
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its completion script is NOT tested")
    output = tmp_path / "output"
    output.touch()
    program = tmp_path / "bin" / "geographer"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, output=output))
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.defpath}", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(dataset_root)
        os.execvpe(command.split()[0], command.split(), environment)
    try:
        typed = [f"{setup}; geographer ready", *(f"geographer {line}\t" for line in lines)]
        for number, line in enumerate(typed, 1):
            os.write(terminal, f"{line}\r".encode())
            shown = read_terminal(terminal, output, number)
            assert len(output.read_text().splitlines()) == number, (line, shown)
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)
        os.close(terminal)
    arguments = [json.loads(line)[-1] for line in output.read_text().splitlines()]
    assert arguments == ["ready", *lines.values()]


def read_terminal(terminal: int, output: Path, number: int) -> bytes:
    """Read what the shell shows until a file has so many lines, or the time is over."""
    shown, end = b"", time.monotonic() + TIMEOUT_S
    while time.monotonic() < end and len(output.read_text().splitlines()) < number:
        if select.select([terminal], [], [], 0.05)[0]:
            with suppress(OSError):
                shown += os.read(terminal, 65536)
    return shown[-500:]
