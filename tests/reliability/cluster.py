"""A cluster in network namespaces with own addresses and no shared disk: files go through S3, and parts of it fail.

The workers `one` and `two` run in two namespaces, which a bridge joins to the scheduler, the S3 server and the client.
Each worker hides the client's folders below an empty file system, and has a small disk of its own. This needs the rights
of an administrator (`ip netns`, `mount`): elsewhere, the attack says so and tries nothing.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from geographer import Dataset
from tests.dask.cluster import DaskCluster
from tests.reliability.oracles import read_history
from tests.reliability.processes import Command, Finished, Running, run
from tests.reliability.stage import Fault, Stage, Try, TryFaults, find_failures
from tests.remote_servers import PASSWORD, add_remote, serve_s3
from tests.sample_history import point_geometry, write_features, write_scenes

_NETWORK: Final = "10.77.19"
_HOST: Final = f"{_NETWORK}.1"
_WORKERS: Final = {"one": f"{_NETWORK}.2", "two": f"{_NETWORK}.3"}
_SCENES: Final = 20
_DISK, _SMALL_DISK = "64m", "300k"
_COMMANDS: Final[tuple[Command, ...]] = (
    ("cut", "grid", "tiles", "--size", "8"),
    ("label", "mask", "masks", "--collection", "tiles"),
)


class Network(NamedTuple):
    """The names of the namespaces of the workers."""

    namespaces: dict[str, str]


class Case(NamedTuple):
    """What happens while the first command runs: `disturb` is called when some batches have finished."""

    name: str
    disturb: Callable[[DaskCluster], None] | None = None
    may_fail: bool = False
    disks: tuple[str, str] = (_DISK, _DISK)


def run_attack(stage: Stage) -> Iterator[TryFaults]:
    """Try each case once, one after the other."""
    if reason := find_obstacle():
        print(f"SKIPPED: the cluster in network namespaces needs the rights of an administrator: {reason}", flush=True)
        return
    with make_network() as network:
        for number, case in enumerate(CASES):
            if stage.only in (None, number):
                one = stage.make_try(f"cluster-{number}")
                start = time.perf_counter()
                faults = [
                    fault._replace(text=f"{case.name}: {fault.text}") for fault in attack(stage, one, case, network)
                ]
                print(f"cluster: {case.name}: {len(faults)} faults, {time.perf_counter() - start:.0f} s", flush=True)
                yield number, faults


def find_obstacle() -> str:
    """Return why this machine cannot make namespaces; an empty text if it can."""
    if sys.platform != "linux" or not shutil.which("ip") or not shutil.which("unshare"):
        return "it has no ip or unshare"
    for command in ("ip netns add geographer-probe", "ip netns delete geographer-probe", "unshare -m true"):
        finished = subprocess.run(command.split(), capture_output=True, text=True)
        if finished.returncode:
            return f"{command}: {finished.stderr.strip()}"
    return ""


@contextmanager
def make_network() -> Iterator[Network]:
    """Make a bridge with an address, and a namespace for each worker with an address of its own."""
    bridge, names = "geographer0", {name: f"geographer-{name}" for name in _WORKERS}
    with ExitStack() as stack:
        _run_ip(f"link add {bridge} type bridge")
        stack.callback(_run_ip, f"link delete {bridge}")
        _run_ip(f"address add {_HOST}/24 dev {bridge}")
        _run_ip(f"link set {bridge} up")
        for number, (name, address) in enumerate(_WORKERS.items()):
            _run_ip(f"netns add {names[name]}")
            stack.callback(_run_ip, f"netns delete {names[name]}")
            _run_ip(f"link add ggouter{number} type veth peer name gginner{number}")
            _run_ip(f"link set ggouter{number} master {bridge} up")
            _run_ip(f"link set gginner{number} netns {names[name]}")
            _run_ip(f"-n {names[name]} address add {address}/24 dev gginner{number}")
            _run_ip(f"-n {names[name]} link set gginner{number} up")
            _run_ip(f"-n {names[name]} link set lo up")
        yield Network(names)


def _run_ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


def start_worker(cluster: DaskCluster, network: Network, name: str, hidden: list[Path], disk: str = _DISK) -> None:
    """Start a worker in its namespace, which does not see the hidden folders, and has a disk of this size."""
    (cluster.folder / name).mkdir(exist_ok=True)
    mounts = [f"mount -t tmpfs none '{folder}'" for folder in hidden]
    mounts += [f"mount -t tmpfs -o size={disk} none '{cluster.folder / name}'", 'exec "$@"']
    inside = ("unshare", "-m", "sh", "-c", " && ".join(mounts), "sh")
    cluster.start_worker(name, host=_WORKERS[name], prefix=("ip", "netns", "exec", network.namespaces[name], *inside))


def attack(stage: Stage, one: Try, case: Case, network: Network) -> Iterator[Fault]:
    """Yield faults if the commands on the cluster leave anything else than the same commands inline."""
    expected = stage.compute_once("cluster-inline", _create_inline)
    root = one.copy_dataset(expected.with_name("template"))
    (one.folder / "s3").mkdir()
    (one.folder / "cluster").mkdir()
    hidden = [root.parent, expected.parent, one.folder / "s3"]
    with serve_s3(one.folder / "s3", _HOST) as server, _start_cluster(one.folder / "cluster") as cluster:
        add_remote(root, "cloud", server.make_settings("cluster"))
        for name, disk in zip(_WORKERS, case.disks, strict=True):
            start_worker(cluster, network, name, hidden, disk)
        cluster.wait_for_workers(len(_WORKERS))
        events = len(read_history(root).digests)
        finished = _run_disturbed(root, cluster, case)
        yield from find_failures(finished)
        if any(done.code for done in finished):
            yield from _check_stopped(root, finished, events, case)
            cluster.stop()
            cluster.start_scheduler(_HOST)
            for name in _WORKERS:
                start_worker(cluster, network, name, hidden)
            cluster.wait_for_workers(len(_WORKERS))
            finished = run(root, *(_add_scheduler(command, cluster) for command in _COMMANDS))
            yield from (Fault("lost", f"the repeated command: {done}") for done in finished if done.code)
        yield from _compare(root, expected)
        logs = "".join(path.read_text(errors="replace") for path in cluster.folder.glob("*.log"))
        if PASSWORD in logs + "".join(done.out + done.err for done in finished):
            yield Fault("silent", "the password of the store is in a log or an output")
    yield from one.find_changes_outside(root)


def _create_inline(one: Try) -> Path:
    """Create the dataset `template`, and a copy on which the commands ran inline."""
    dataset = Dataset.init(one.folder / "template", classes=["lake"], scm=False)
    points = {f"p{number}": ("lake", point_geometry(5.5 + 48 * number, 20.5)) for number in range(_SCENES)}
    dataset.add_features(write_features(one.folder / "points.geojson", points), crs="EPSG:32633")
    dataset.add_rasters(write_scenes(one.folder / "scenes", *(f"s{number:02}" for number in range(_SCENES))))
    root = shutil.copytree(dataset.root, one.folder / "inline", symlinks=True)
    for done in run(root, *((*command, "--workers", "1") for command in _COMMANDS)):
        assert not done.code, str(done)
    return root


@contextmanager
def _start_cluster(folder: Path) -> Iterator[DaskCluster]:
    cluster = DaskCluster(folder)
    cluster.start_scheduler(_HOST)
    try:
        yield cluster
    finally:
        cluster.stop()


def _add_scheduler(command: Command, cluster: DaskCluster) -> Command:
    return (*command, "--scheduler", cluster.address)


def _run_disturbed(root: Path, cluster: DaskCluster, case: Case) -> list[Finished]:
    """Run the commands; disturb the first one when batches of it have finished."""
    running = Running(root, *(_add_scheduler(command, cluster) for command in _COMMANDS))
    if case.disturb:
        deadline = time.monotonic() + 120
        while len(list((root / ".geographer" / "batches").glob("*.msgpack"))) < 2:
            assert time.monotonic() < deadline, f"no batch has finished: {[str(done) for done in running.wait(1)]}"
            time.sleep(0.01)
        case.disturb(cluster)
    return running.wait()


def _check_stopped(root: Path, finished: list[Finished], events: int, case: Case) -> Iterator[Fault]:
    """Yield faults if a failed command was not to fail, recorded something, or left a partial file."""
    first = finished[0]
    if not case.may_fail:
        yield Fault("lost", f"the command did not finish: {first}")
    if first.code and (first.code != 6 or first.err.count("\n") > 1 or not first.err.startswith("Error: ")):
        yield Fault("silent", f"no error of one line with exit code 6: {first.code} {first.err!r}")
    if first.code and len(read_history(root).digests) != events:
        yield Fault("silent", "a failed command recorded an event")
    if first.code and list((root / ".geographer" / "staging").iterdir()):
        yield Fault("silent", "a failed command left files in the staging folder")
    if first.code and case.disturb and not list((root / ".geographer" / "batches").glob("*.msgpack")):
        yield Fault("lost", "the finished batches are forgotten")


def _compare(root: Path, expected: Path) -> Iterator[Fault]:
    found, wanted = read_history(root), read_history(expected)
    if found.mismatches or found.content_digest != wanted.content_digest:
        yield Fault("silent", f"content digest {found.content_digest[:12]}, inline {wanted.content_digest[:12]}")
    if (root / ".geographer" / "batches").exists():
        yield Fault("silent", "the journal of batches was not removed")
    yield from (Fault("silent", str(done)) for done in run(root, ("verify",)) if done.code)


def _kill_worker(cluster: DaskCluster) -> None:
    cluster.kill_worker("one")


def _kill_scheduler(cluster: DaskCluster) -> None:
    assert cluster.scheduler
    cluster.scheduler.kill()


def _freeze_worker(cluster: DaskCluster) -> None:
    """Stop a worker for a while: a straggler."""
    cluster.workers["one"].send_signal(signal.SIGSTOP)
    time.sleep(8)
    cluster.workers["one"].send_signal(signal.SIGCONT)


CASES: Final = (
    Case("undisturbed"),
    Case("a worker is killed", _kill_worker),
    Case("the scheduler is killed", _kill_scheduler, may_fail=True),
    Case("a worker hangs for 8 s", _freeze_worker),
    Case("the disk of a worker is full", disks=(_SMALL_DISK, _DISK)),
    Case("the disks of all workers are full", disks=(_SMALL_DISK, _SMALL_DISK), may_fail=True),
)
