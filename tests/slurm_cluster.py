"""A real Slurm of two nodes on this machine, in a folder of its own: munged, slurmctld and two slurmd, ended by their own pids."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MUNGED, SLURMCTLD, SLURMD = "/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd"
NODES = ("n1", "n2")
HOSTS = Path("/etc/hosts")
REQUEUE_WAIT = 20
"""Seconds before a job that is queued again starts (Slurm's default is 120). One started in the second in which it ended is lost."""
MAX_ARRAY = 17
"""One more than the highest index of an array."""
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={requeue_wait}
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=100000,bf_interval=1
MaxArraySize={max_array}
MaxJobCount=20000
KillWait=3
MinJobAge=300
InactiveLimit=0
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[1]} CPUs={cpus} State=UNKNOWN
NodeName=n2 NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[2]} CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
PartitionName=one Nodes=n1 MaxTime=INFINITE State=UP
"""


def find_obstacle() -> str:
    """Why no Slurm can be started here; "" where it can."""
    missing = [path for path in (MUNGED, SLURMCTLD, SLURMD) if not Path(path).exists()]
    missing += [name for name in ("sbatch", "squeue", "scontrol") if shutil.which(name) is None]
    if missing:
        return f"no Slurm here ({', '.join(missing)}): apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "a Slurm of the tests' own can only be started by root"


@dataclass
class Cluster:
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def start(self, *command: str) -> None:
        log = (self.folder / f"{Path(command[0]).name}.out").open("ab")
        environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        self.processes.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)
        )

    def ask(self, *command: str) -> str:
        environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60).stdout

    def is_up(self) -> bool:
        return self.ask("sinfo", "--noheader", "--Node", "--partition=main", "--format=%t").split() == ["idle"] * len(NODES)

    def wait_idle(self, seconds: float = 60) -> None:
        """Until the queue is empty. Raises: AssertionError with the queue when it does not get so in time."""
        end = time.monotonic() + seconds
        while queue := self.ask("squeue", "--noheader"):
            assert time.monotonic() < end, f"still in the queue:\n{queue}"
            time.sleep(0.2)

    def stop(self) -> None:
        self.ask("scancel", "--user=root", "--signal=KILL", "--full")
        self.ask("scancel", "--user=root")
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def running_cluster(folder: Path, max_array: int = MAX_ARRAY, cpus: int = 4) -> Iterator[Cluster]:
    """Raises: AssertionError with the daemons' last words when it does not come up."""
    cluster = Cluster(folder)
    for name in ("state", *(f"spool.{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname().split(".")[0]
    sizes = {"max_array": max_array, "cpus": cpus, "requeue_wait": REQUEUE_WAIT}
    cluster.conf.write_text(CONF.format(host=host, folder=folder, ports=free_ports(3), **sizes))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    named = name_nodes()
    try:
        places = [f"--{option}={folder}/munge.{option.split('-')[0]}" for option in ("pid-file", "log-file", "seed-file")]
        cluster.start(MUNGED, "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}", *places)
        wait_for((folder / "munge.socket").exists, cluster)
        cluster.start(SLURMCTLD, "-D", "-f", str(cluster.conf))
        for node in NODES:
            cluster.start(SLURMD, "-D", "-N", node, "-f", str(cluster.conf))
        wait_for(cluster.is_up, cluster)
        yield cluster
    finally:
        cluster.stop()
        if named:
            HOSTS.write_text(HOSTS.read_text().replace(named, "\n"))


def name_nodes() -> str:
    """`srun` and torchrun look the nodes up by name. Returns what was added to the machine's list; "" where they were known."""
    known = HOSTS.read_text()
    if not (missing := [node for node in NODES if node not in known.split()]):
        return ""
    named = f"\n127.0.0.1 {' '.join(missing)}\n"
    HOSTS.write_text(known.rstrip("\n") + named)
    return named


def wait_for(holds: "object", cluster: Cluster, seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        logs = "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in cluster.folder.glob("*.[lo][ou][gt]"))
        assert time.monotonic() < end, f"no Slurm came up:\n{logs}"
        time.sleep(0.1)
