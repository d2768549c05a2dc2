"""Signed tags: `openssl` and `ssh-keygen` accept the signatures, `verify` says who signed, and the log keeps no key."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, SourceError, UsageError
from geographer.cli import options
from geographer.operations.tag import signatures
from geographer.storage.events.signed_tag import make_signature_files
from tests import REPOSITORY
from tests.cli.runner import read_rows, run_command
from tests.reliability.forging import edit_database, recompute_log, remove_history
from tests.sample_keys import write_key
from tests.sample_team import long_form
from tests.time_authority import TimeAuthority

PASSPHRASE = "correct horse"


@pytest.fixture(scope="module")
def opened(empty_dataset, tmp_path_factory):
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path_factory.mktemp("signing") / "dataset"))
    dataset.add_classes(["pond"])
    dataset.tag("v1")
    shutil.copytree(dataset.root, dataset.root.with_name("template"))
    return dataset


@pytest.fixture
def dataset(opened):
    """A dataset with a tag that is not signed; it is restored for each test."""
    shutil.rmtree(opened.root)
    shutil.copytree(opened.root.with_name("template"), opened.root)
    return opened


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return TimeAuthority(tmp_path_factory.mktemp("authority") / "tsa")


def read_signed_tags(dataset):
    """Return the signatures of the head's event."""
    from geographer.storage.events.payload import parse_payload

    event = dataset.show()
    return [*parse_payload(event.kind, event.version, event.payload).iter_signed_tags()]


def read_documented_commands():
    """Return the commands of the log format that check a signature by `openssl` or `ssh-keygen`, and a time stamp, for v2.1."""
    document = (REPOSITORY / "docs" / "log-format.md").read_text()
    commands = re.findall(r"```sh\n(.*?)\n```", document, re.DOTALL)
    assert len(commands) == 3
    return [command.replace("v1.", "v2.1.") for command in commands]


def run_program(folder, command):
    """Run a command in a folder, and return whether it succeeded."""
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, check=False).returncode == 0


def write_signature_files(dataset, folder):
    """Write what `openssl` and `ssh-keygen` need, and return the name without suffix."""
    folder.mkdir()
    for name, content in make_signature_files(read_signed_tags(dataset)).items():
        (folder / name).write_bytes(content)
    return folder


def list_findings(dataset, *arguments, **options_):
    return [(finding.kind, finding.subject) for finding in dataset.verify(*arguments, **options_)]


@pytest.mark.parametrize(
    ("kind", "openssh", "passphrase"),
    [
        ("ed25519", False, PASSPHRASE),
        ("ed25519", True, PASSPHRASE),
        ("rsa", True, None),
        ("ecdsa-521", False, None),
    ],
)
def test_programs_accept_signatures(dataset, tmp_path, monkeypatch, kind, openssh, passphrase):
    key = write_key(tmp_path / "key", kind, openssh=openssh, passphrase=passphrase)
    monkeypatch.setenv("GEOGRAPHER_KEY_PASSPHRASE", passphrase or "")
    result = dataset.tag("v2", 2, sign=key)
    assert (result.kind, result.summary["tag"]["position"]) == ("revision_tagged", 2)
    folder = write_signature_files(dataset, tmp_path / "files")
    statement = json.loads((folder / "v2.1.json").read_text())
    assert statement == {"statement": "geographer tag 1", **result.summary["tag"]}
    (folder / "allowed_signers").write_text(f"ada@example.org {(folder / 'v2.1.pub').read_text()}")
    plain, ssh, _ = read_documented_commands()
    command = plain if kind == "ed25519" and not openssh else ssh
    assert run_program(folder, command)
    (folder / "v2.1.json").write_text(json.dumps({**statement, "tag": "v3"}))
    assert not run_program(folder, command)
    kept = json.dumps([event.to_dict() for event in dataset.log()])
    assert str(key) not in kept
    assert PASSPHRASE not in kept


def test_agent_signs_with_public_key(dataset, tmp_path):
    key = write_key(tmp_path / "key", openssh=True)
    socket = tmp_path / "s"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            pass
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSH_AUTH_SOCK", str(socket))
            subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True)
            key.unlink()
            dataset.tag("v1", sign=tmp_path / "key.pub")
    finally:
        agent.terminate()
        agent.wait()
    result = dataset.verify("v1", signatures=tmp_path / "key.pub")
    assert (list(result), result.report.matches[0].startswith("signature of v1 by ")) == ([], True)


def test_failed_agent_records_nothing(dataset, tmp_path, monkeypatch):
    key = write_key(tmp_path / "key", openssh=True)
    key.unlink()
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    head = dataset.show().digest
    with pytest.raises(UsageError, match=r"ssh-keygen could not sign .* ssh-add"):
        dataset.tag("v1", sign=f"{key}.pub")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="needs ssh-keygen"):
        dataset.tag("v1", sign=f"{key}.pub")
    assert dataset.show().digest == head


def test_further_people_sign_a_tag(dataset, tmp_path):
    first, second = (write_key(tmp_path / name) for name in ("first", "second"))
    assert [dataset.tag("v1", sign=key).kind for key in (first, second)] == ["tag_signed", "tag_signed"]
    with pytest.raises(ConflictError, match="has signed tag 'v1'"):
        dataset.tag("v1", sign=first)
    with pytest.raises(ConflictError, match="a tag does not move"):
        dataset.tag("v1", 1, sign=write_key(tmp_path / "third"))
    rows = dataset.list_signatures().to_pylist()
    assert [(row["tag"], row["format"], row["time_stamp"]) for row in rows] == [("v1", "ed25519", None)] * 2
    (tag,) = read_rows(dataset.root, "tags")
    assert tag["signed_by"] == [row["key"] for row in rows]
    assert list_findings(dataset, signatures=Path(f"{second}.pub")) == []
    assert f"a further signature of v1, by key {rows[0]['key']}" in str(
        dataset.verify(signatures=f"{second}.pub").report.not_checked
    )


def test_dry_run_and_repeated_key(dataset, tmp_path):
    key, head = write_key(tmp_path / "key"), dataset.show().digest
    assert dataset.tag("v1", sign=key, dry_run=True).would_change
    assert dataset.show().digest == head
    assert dataset.tag("v2", sign=key, idempotency_key="k").changed
    assert not dataset.tag("v2", sign=key, idempotency_key="k").changed
    with pytest.raises(ConflictError, match="another request"):
        dataset.tag("v2", idempotency_key="k")
    assert dataset.show().payload["request"]["signed_by"].startswith("SHA256:")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, NotFoundError, "no key file"),
        ("hello", UsageError, "invalid public key"),
        ("ssh-ed25519 AAAA", UsageError, "invalid public key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", UsageError, "not a private key"),
    ],
)
def test_other_files_are_no_keys(dataset, tmp_path, content, error, message):
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(error, match=message):
        dataset.tag("v2", sign=tmp_path / "key")


def test_passphrase_is_required(dataset, tmp_path, monkeypatch):
    key = write_key(tmp_path / "key", passphrase=PASSPHRASE)
    with pytest.raises(UsageError, match="has a passphrase"):
        dataset.tag("v2", sign=key)
    monkeypatch.setenv("GEOGRAPHER_KEY_PASSPHRASE", "wrong")
    with pytest.raises(UsageError, match="does not open the key"):
        dataset.tag("v2", sign=key)


def test_command_line_without_path_of_key(monkeypatch):
    for words in (["tag", "v1", "--sign", "/home/ada/key"], ["tag", "v1", "--sign=/home/ada/key"]):
        monkeypatch.setattr("sys.argv", ["geographer", *words])
        assert "ada" not in options.format_command_line()
        assert options.format_command_line().replace("'", "").startswith("geographer tag v1 --sign")


# --- who signed ------------------------------------------------------------------------------------------------------


def test_verify_says_whose_key_signed(dataset, tmp_path):
    key, other = (write_key(tmp_path / name, openssh=True) for name in ("key", "other"))
    dataset.tag("v1", sign=key)
    fingerprint = dataset.list_signatures().to_pylist()[0]["key"]
    assert dataset.verify().report.matches[0] == (
        f"signature of v1 by key {fingerprint}; no trusted keys were given, so whose key it is was not checked"
    )
    public = Path(f"{key}.pub").read_text().strip()
    allowed = tmp_path / "allowed"
    for line, refusal in (
        (f'ada@example.org namespaces="git,geo*",valid-after="20200101" {public}', None),
        (f'ada@example.org valid-before="20200101Z" {public}', "was valid until 2020-01-01 only"),
        (f"ada@example.org {Path(f'{other}.pub').read_text()}", "not among the trusted keys"),
    ):
        allowed.write_text(f"# people\n\n{line}\n")
        result = dataset.verify("v1", signatures=allowed)
        if refusal is None:
            assert not result
            assert result.report.matches[0] == f"signature of v1 by ada@example.org, key {fingerprint}"
        else:
            (finding,) = result
            assert (finding.kind, refusal in finding.detail) == ("unsigned tag", True)


def test_verify_requires_signatures(dataset, tmp_path):
    assert list_findings(dataset) == []
    assert list_findings(dataset, signatures=True) == [("unsigned tag", "v1")]
    assert list_findings(dataset, "@1", signatures=True) == [("unsigned tag", "@1")]
    dataset.tag("v1", sign=write_key(tmp_path / "key"))
    assert list_findings(dataset, "v1", signatures=True) == []
    note = "who recorded the events after @2: no signature of a tag covers them"
    assert (note in dataset.verify(signatures=True).report.not_checked) == (
        note not in dataset.verify().report.not_checked
    )
    assert list_findings(dataset, timestamps=True) == [("tag without time stamp", "v1")]
    assert "signature of v1 by" in run_command(dataset.root, "verify", "v1", "--signature")
    for content in ("", "ada ssh-ed25519 AAAA\n", "-----BEGIN PRIVATE KEY-----"):
        (tmp_path / "keys").write_text(content)
        with pytest.raises(UsageError, match="public key"):
            dataset.verify(signatures=tmp_path / "keys")
    with pytest.raises(NotFoundError, match="no file"):
        dataset.verify(signatures=tmp_path / "none")


def test_signature_moves_no_tag(dataset, tmp_path):
    """An event that signs a tag repeats it; if it names another revision, the tag stays where it was set."""
    dataset.tag("v1", sign=write_key(tmp_path / "key"))
    wrong = f"replace(payload, '{dataset.show(2).digest}', '{dataset.show(1).digest}')"
    with edit_database(dataset.root / ".geographer" / "log.duckdb") as connection:
        connection.execute(f"UPDATE event SET payload = {wrong} WHERE kind = 'tag_signed'")
    assert Dataset.open(dataset.root).show("v1").position == 2


def test_log_without_tags_is_not_signed(empty_dataset):
    """A forger can leave out the tags, too."""
    dataset = Dataset.open(empty_dataset)
    for result in (dataset.verify(signatures=True), dataset.verify(timestamps=True)):
        assert [finding.kind for finding in result] == ["unsigned tag"]


@pytest.mark.parametrize("is_stripped", [False, True])
def test_verify_finds_rewritten_signed_log(dataset, tmp_path, is_stripped):
    """All digests of the log are recomputed after an edit, but the key is not the forger's."""
    dataset.tag("v2", sign=write_key(tmp_path / "key"))
    with edit_database(dataset.root / ".geographer" / "log.duckdb") as connection:
        connection.execute("UPDATE class_change SET value = 7 WHERE class = 'pond'")
        if is_stripped:
            connection.execute(
                "UPDATE event SET payload = json_merge_patch(payload, '{\"signature\": null}') WHERE event_key = 4"
            )
            stripped = 'replace(payload, \'"request"\', \'"signature":null,"request"\')'
            connection.execute(
                f"UPDATE event SET payload = {stripped} WHERE event_key = 4 AND payload NOT LIKE '%\"signature\"%'"
            )
        recompute_log(connection)
    remove_history(dataset.root)
    (dataset.root / ".geographer" / "state.duckdb").unlink()
    forged = Dataset.open(dataset.root)
    wrong = [("wrong signature", "v2")]
    assert list_findings(forged) == ([] if is_stripped else wrong)
    assert list_findings(forged, "v2", signatures=True) == [*([] if is_stripped else wrong), ("unsigned tag", "v2")]


def test_verify_compares_statement_with_log(dataset, tmp_path, monkeypatch):
    """A signature that holds, over a digest that is not that of the log."""
    monkeypatch.setattr("geographer.operations.tag.request.compute_log_root", lambda *_: "0" * 64)
    dataset.tag("v2", sign=write_key(tmp_path / "key"))
    findings = dataset.verify("v2")
    assert [(finding.kind, finding.subject) for finding in findings] == [("wrong tag", "v2"), ("wrong signature", "v2")]
    assert "signed another log_root than the log gives" in findings[1].detail


def test_signatures_travel_with_merges(opened, tmp_path):
    dataset = Dataset.open(shutil.copytree(opened.root.with_name("template"), tmp_path / "dataset"))
    dataset.create_branch("survey")
    dataset.switch_branch("survey")
    dataset.add_classes(["reed"])
    key = write_key(tmp_path / "key")
    dataset.tag("v2", sign=key)
    dataset.tag("v3", sign=key)
    dataset.switch_branch("main")
    dataset.add_classes(["quay"])
    assert dataset.list_signatures().num_rows == 0
    other = write_key(tmp_path / "other")
    dataset.tag("v2", sign=other)
    dataset.merge_branch("survey")
    assert [row["tag"] for row in dataset.list_signatures().to_pylist()] == ["v2", "v2", "v3"]
    assert list_findings(dataset, signatures=f"{key}.pub") == [("unsigned tag", "v1"), ("unsigned tag", "v2")]
    (conflict,) = dataset.list_conflicts().to_pylist()
    dataset.resolve_conflicts([conflict["conflict"]], "theirs")
    assert {row["tag"]: len(row["signed_by"]) for row in read_rows(dataset.root, "tags")} == {"v1": 0, "v2": 1, "v3": 1}
    with pytest.raises(ConflictError, match="of a merged history"):
        dataset.tag("v2", sign=other)
    result = dataset.verify(signatures=f"{key}.pub")
    assert [(finding.kind, finding.subject) for finding in result] == [("unsigned tag", "v1")]
    assert [match[:19] for match in result.report.matches[:2]] == ["signature of v2 by ", "signature of v3 by "]
    assert "a signature of tag 'v2' of another revision than the tag has now" in str(result.report.not_checked)


@long_form
def test_signatures_travel_with_clones(team, tmp_path):
    """Ada signs and publishes; Grace verifies, signs too and publishes; Ada gets her signature."""
    keys = [write_key(tmp_path / name) for name in ("ada", "grace")]
    ada = Dataset.open(team.ada)
    ada.tag("v1", sign=keys[0])
    ada.push()
    grace = team.clone("grace")
    assert list_findings(grace, "v1", signatures=f"{keys[0]}.pub") == []
    grace.tag("v1", sign=keys[1])
    grace.push()
    ada.pull()
    assert list_findings(ada, "v1", signatures=f"{keys[1]}.pub") == []
    assert ada.list_signatures().to_pylist() == grace.list_signatures().to_pylist()


# --- when it was signed ----------------------------------------------------------------------------------------------


def test_authority_stamps_signature(dataset, tmp_path, authority, monkeypatch, fast_retry):
    monkeypatch.setattr(signatures, "RETRY_POLICY", fast_retry)
    authority.faults = [503]
    with authority.serve() as url:
        dataset.tag("v2", sign=write_key(tmp_path / "key"), timestamp=url)
        assert dataset.show().payload["request"]["timestamp"] == url
        assert "characters, which --json prints" in run_command(dataset.root, "show")
        folder = write_signature_files(dataset, tmp_path / "files")
        authority.faults = [400]
        with pytest.raises(SourceError, match="the authority answered 400"):
            dataset.tag("v2", timestamp=url)
        authority.faults = [0]
        monkeypatch.setattr(signatures, "_MAX_BODY_S", 0.2)
        with pytest.raises(SourceError, match="the authority did not answer within 0 s"):
            dataset.tag("v2", timestamp=url)
    shutil.copy(authority.root_file, folder / "root.pem")
    assert run_program(folder, read_documented_commands()[2])
    assert run_program(folder, "cmp v2.1.stamped <(cat v2.1.json; echo; base64 -w0 v2.1.sig)")
    result = dataset.verify("v2", timestamps=authority.root_file)
    time = dataset.list_signatures().to_pylist()[0]["time_stamp"]
    assert not result
    assert f", before {time[:19].replace('T', ' ')} UTC by its time stamp" in result.report.matches[0]
    assert "who made the time stamp of v2" in dataset.verify("v2").report.not_checked[0]


def test_file_of_authority_stamps_signature(dataset, tmp_path, authority):
    request, response = tmp_path / "v1.tsq", tmp_path / "v1.tsr"
    with pytest.raises(NotFoundError, match="has no signature"):
        dataset.write_time_stamp_request("v1", request)
    key = write_key(tmp_path / "key", openssh=True)
    text = run_command(dataset.root, "tag", "v1", "--sign", str(key), "--timestamp-request", str(request))
    assert f"wrote {request}" in text
    head = dataset.show().digest
    run_command(dataset.root, "tag", "v1", "--timestamp-request", str(request))
    assert Dataset.open(dataset.root).show().digest == head
    authority.answer_request(request, response, has_chain=True)
    run_command(dataset.root, "tag", "v1", "--timestamp", str(response))
    assert list_findings(dataset, "v1", signatures=f"{key}.pub", timestamps=authority.root_file) == []
    other = TimeAuthority(tmp_path / "other")
    assert list_findings(dataset, "v1", timestamps=other.root_file) == [
        *(("wrong time stamp", "v1"), ("tag without time stamp", "v1")),
    ]
    dataset.tag("v2", sign=key)
    with pytest.raises(UsageError, match="is no time stamp of a signature of this tag: it is for other bytes"):
        dataset.tag("v2", timestamp=response)
    response.write_bytes(b"hello")
    with pytest.raises(UsageError, match="it is not a response"):
        dataset.tag("v2", timestamp=response)
    with pytest.raises(NotFoundError, match="no time stamp"):
        dataset.tag("v2", timestamp=tmp_path / "none")


def test_time_stamp_needs_signature(dataset, tmp_path):
    with pytest.raises(NotFoundError, match="Add --sign KEY"):
        run_command(dataset.root, "tag", "v3", "--timestamp-request", str(tmp_path / "v3.tsq"))
    with pytest.raises(UsageError, match="--timestamp has no value"):
        dataset.tag("v3", timestamp="")
    for name in ("v1", "v2"):
        with pytest.raises(UsageError, match="Add --sign KEY"):
            dataset.tag(name, timestamp="http://127.0.0.1:9/")
    (tmp_path / "certificates").write_text("x")
    with pytest.raises(UsageError, match="has no certificate"):
        dataset.verify(timestamps=tmp_path / "certificates")


def test_unreachable_authority_records_nothing(dataset, tmp_path, monkeypatch, fast_retry, recorded_delays):
    monkeypatch.setattr(signatures, "RETRY_POLICY", fast_retry)
    head = dataset.show().digest
    with pytest.raises(SourceError, match="the authority cannot be reached"):
        dataset.tag("v2", sign=write_key(tmp_path / "key"), timestamp="http://127.0.0.1:9/")
    assert (dataset.show().digest, len(recorded_delays)) == (head, 2)
    assert os.environ.get("GEOGRAPHER_KEY_PASSPHRASE") is None
