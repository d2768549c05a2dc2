"""The team example: README.md, docs/sharing.md and the example's README show commands of `run.py` as they print."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from geographer import Dataset
from tests import REPOSITORY
from tests.examples.script_runner import run_script
from tests.shared_folders import create_once

EXAMPLE = REPOSITORY / "examples" / "team"
DOCUMENTS = ("README.md", "docs/sharing.md", "examples/team/README.md")


class Step(NamedTuple):
    """A command with its prompt, and the lines that it prints."""

    command: str
    output: list[str]


def parse_steps(text: str) -> list[Step]:
    """Return the commands behind prompts such as `ada/glaciers$`, each with the lines below."""
    steps: list[Step] = []
    for line in text.splitlines():
        if re.match(r"(ada|bob|grace)(/\w+)?\$ ", line):
            steps.append(Step(line, []))
        else:
            steps[-1].output.append(line)
    return steps


def read_documented_steps(document: str) -> list[Step]:
    blocks = re.findall(r"```shellsession\n(.*?)```", (REPOSITORY / document).read_text(), flags=re.DOTALL)
    return parse_steps("".join(blocks))


def mask_variable_text(step: Step) -> tuple[str, list[str]]:
    """Replace event digests, checksums, times, sizes of segments and folders, which differ from run to run.

    A content digest depends on the data only, and is compared.
    """
    text = "\n".join(line.rstrip() for line in step.output)
    text = re.sub(r"(?<!content )(?<!--expect )\b[0-9a-f]{12,64}\b", "#", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\d+ objects?, [\d,]+ bytes sent", "# objects sent", text)
    return step.command, re.sub(r"'[^'\s]*/(ada|bob|grace)/", r"'/…/\1/", text).splitlines()


@pytest.fixture(scope="module")
def example_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run `run.py`; return its output folder and what it printed."""

    def build(folder: Path) -> None:
        (folder / "output.txt").write_text(run_script(EXAMPLE, folder / "out", in_process=True))

    folder = create_once(tmp_path_factory, "team-run", build)
    return folder / "out", (folder / "output.txt").read_text()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_shows_steps_as_printed(document, example_run):
    steps = [mask_variable_text(step) for step in parse_steps(example_run[1])]
    documented = [mask_variable_text(step) for step in read_documented_steps(document)]
    assert documented
    assert [step for step in documented if step not in steps] == []


def test_example_readme_shows_every_step(example_run):
    commands = [step.command for step in parse_steps(example_run[1])]
    assert [step.command for step in read_documented_steps("examples/team/README.md")] == commands


def test_lock_files_and_heads_match_schemas(example_run):
    schemas = [json.loads(path.read_text()) for path in (REPOSITORY / "schemas").glob("*.json")]
    registry = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in schemas])
    patterns = (
        ("lock", "*/*/geographer.lock", 3),
        ("head", "store/heads/main/*", 5),
        ("head", "store/heads/elevation/*", 1),
    )
    for schema, pattern, count in patterns:
        validator = Draft202012Validator({"$ref": f"{schema}.v1.json"}, registry=registry)
        paths = [*example_run[0].glob(pattern)]
        assert len(paths) == count
        assert [path for path in paths if not validator.is_valid(json.loads(path.read_text()))] == []


def test_published_histories_are_equal(example_run):
    """Bob's main is where Ada's was before she merged his branch; Grace has what was published before both."""
    folder = example_run[0]
    bob, ada, reader = (Dataset.open(folder / name) for name in ("bob/glaciers", "ada/glaciers", "grace/glaciers"))
    events = [event.digest for event in ada.log()]
    assert [event.digest for event in bob.log()] == events[:-1]
    assert [event.digest for event in reader.log()] == events[:8]
    assert {dataset.show("v1").digest for dataset in (bob, ada, reader)} == {ada.show("v1").digest}
    assert ada.verify() == [] == bob.verify()
    assert str(ada.sharing_status().remotes[0]).endswith("(equal)")
    assert ada.features(feature="G252010E37838N")["class"].to_pylist() == ["lake"]
    assert (folder / "ada/glaciers/rasters/elevation/rmnp-dem.tif").exists()
