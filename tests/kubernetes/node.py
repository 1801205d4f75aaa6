"""One machine as a whole cluster: etcd, containerd, the kubelet and the control plane, on ports of their own.

Nothing stays behind: every process ends with this one. Pods get addresses of a bridge that this machine is on too, so
that they reach servers on it. There is no cluster DNS, no ingress, and nothing that enforces a NetworkPolicy.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.kubernetes.credentials import Credentials
from tests.kubernetes.images import archive, layer

NODE = "node"
START_TIMEOUT = 180.0
_PAUSE = """#include <signal.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
int main(void) { signal(SIGTERM, end); for (;;) pause(); }
"""
_KUBELET = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: false}}
  x509: {{clientCAFile: {directory}/ca.pem}}
authorization: {{mode: AlwaysAllow}}
address: {address}
port: {port}
healthzPort: 0
cgroupDriver: cgroupfs
cgroupRoot: /{group}
cgroupsPerQOS: true
enforceNodeAllocatable: []
failSwapOn: false
containerRuntimeEndpoint: unix://{directory}/containerd.sock
resolvConf: /etc/resolv.conf
evictionHard: {{nodefs.available: "1%", imagefs.available: "1%", memory.available: 50Mi}}
imageGCHighThresholdPercent: 100
"""
# A container may not lower its oom_score_adj where this machine is one itself.
_CONTAINERD = """version = 2
root = "{directory}/containerd"
state = "{directory}/containerd-run"
[grpc]
  address = "{directory}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{directory}/cni"
"""
_ETCD = """--data-dir=etcd --unsafe-no-fsync
    --listen-client-urls=http://127.0.0.1:{etcd} --advertise-client-urls=http://127.0.0.1:{etcd}
    --listen-peer-urls=http://127.0.0.1:{peers} --initial-advertise-peer-urls=http://127.0.0.1:{peers}
    --initial-cluster=default=http://127.0.0.1:{peers}"""
_APISERVER = """--etcd-servers=http://127.0.0.1:{etcd} --bind-address=127.0.0.1 --secure-port={api}
    --tls-cert-file=api.pem --tls-private-key-file=api.key --client-ca-file=ca.pem --authorization-mode=Node,RBAC
    --service-account-key-file=accounts.key --service-account-signing-key-file=accounts.key
    --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range=10.99.0.0/24
    --kubelet-client-certificate=admin.pem --kubelet-client-key=admin.key
    --kubelet-preferred-address-types=InternalIP"""
_MANAGER = """--kubeconfig=admin.conf --root-ca-file=ca.pem --service-account-private-key-file=accounts.key
    --bind-address=127.0.0.1 --secure-port={manager} --leader-elect=false"""
_SCHEDULER = "--kubeconfig=admin.conf --bind-address=127.0.0.1 --secure-port={scheduler} --leader-elect=false"
_KUBELET_FLAGS = """--config=kubelet.yaml --kubeconfig=node.conf --hostname-override={node} --node-ip={address}
    --root-dir={directory}/kubelet --cert-dir=kubelet-pki"""


class StartFailed(Exception):
    """A program of the cluster did not come up; the message has the end of its log."""


class Node:
    """A running cluster: ``kubeconfig`` is its administrator's, ``address`` this machine as pods see it."""

    def __init__(self, programs: Path, directory: Path) -> None:
        """Prepare files; nothing runs yet."""
        self._programs = programs
        self._directory = directory
        self._started: list[tuple[str, subprocess.Popen[bytes]]] = []
        names = ("etcd", "peers", "api", "kubelet", "manager", "scheduler")
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self._bridge = f"attune{self._ports['api']}"
        self._cgroup = f"attune-{self._ports['api']}"
        self.network, self.address = _free_network()
        self.kubeconfig = directory / "admin.conf"

    def start(self) -> None:
        """Start everything and wait until pods can be made."""
        self._credentials = Credentials(self._directory, f"https://127.0.0.1:{self._ports['api']}", NODE)
        self._lay_out()
        self._start_runtime()
        self._start_control_plane()
        self._run("kubelet", _KUBELET_FLAGS)
        self._wait("kubelet", lambda: "True" in self.kubectl("get", "node", NODE, "-o", _READY).stdout)

    def runtime_seconds(self) -> float:
        """Processor time of the kubelet, of containerd, of its shims and of everything that they waited for."""
        mine = [process.pid for name, process in self._started if name in ("kubelet", "containerd")]
        shims = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdecimal() and f"{self._directory}/containerd.sock".encode() in _command_line(entry)
        ]
        return sum(map(_seconds, {*mine, *shims}))

    def load(self, image: Path) -> None:
        """Import a docker-archive, so that pods may use it."""
        done = self._ctr("images", "import", str(image))
        if done.returncode != 0:
            raise StartFailed(f"the image {image.name} can't be imported: {done.stderr}")

    def kubectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``kubectl`` as the administrator."""
        command = [str(self._programs / "kubectl"), f"--kubeconfig={self.kubeconfig}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def stop(self) -> None:
        """End every container and every program, and unmount what they mounted."""
        for name in ("kubelet", "kube-scheduler", "kube-controller-manager", "kube-apiserver"):
            self._end(name)
        tasks = self._ctr("tasks", "ls", "-q").stdout.split()
        for task in tasks:
            self._ctr("tasks", "kill", "-s", "KILL", task)
        for task in tasks:
            self._ctr("tasks", "rm", "-f", task)
        self._end("containerd")
        self._end("etcd")
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if f" {self._directory}/" in line:
                subprocess.run(["umount", "-l", line.split()[1]], check=False, capture_output=True)
        _remove_groups(self._cgroup)
        subprocess.run(["ip", "link", "delete", self._bridge], check=False, capture_output=True)

    def _lay_out(self) -> None:
        here = self._directory
        for group in _groups(self._cgroup):
            group.mkdir(exist_ok=True)
            # Beside other work on this machine all pods together would count as one process.
            for name, weight in (("cpu.shares", 20 * 1024), ("cpu.weight", 20 * 100)):
                with contextlib.suppress(OSError):
                    (group / name).write_text(f"{weight}\n")
        fields = {"directory": here, "address": self.address, "port": self._ports["kubelet"], "group": self._cgroup}
        (here / "kubelet.yaml").write_text(_KUBELET.format(**fields))
        (here / "containerd.toml").write_text(_CONTAINERD.format(directory=here))
        (here / "cni").mkdir()
        bridge = {
            "type": "bridge",
            "bridge": self._bridge,
            "isGateway": True,
            "ipMasq": False,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": self.network}]], "dataDir": str(here / "ipam")},
        }
        network = {"cniVersion": "0.4.0", "name": self._bridge, "plugins": [bridge]}
        (here / "cni" / "10-bridge.conflist").write_text(json.dumps(network))
        # Made before the first pod: servers listen on its address.
        for words in (
            ["link", "add", self._bridge, "type", "bridge"],
            ["addr", "add", f"{self.address}/24", "dev", self._bridge],
            ["link", "set", self._bridge, "up"],
        ):
            subprocess.run(["ip", *words], check=True)

    def _start_runtime(self) -> None:
        here = self._directory
        self._run("containerd", "-c containerd.toml")
        (here / "pause.c").write_text(_PAUSE)
        subprocess.run(["gcc", "-static", "-O2", "pause.c", "-o", "pause"], cwd=here, check=True)
        pause = layer(here / "pause.tar", {"pause": here / "pause"})
        image = archive(here / "pause-image.tar", "localhost/pause:1", [pause], command=["/pause"])
        self._wait("containerd", lambda: self._ctr("images", "import", str(image)).returncode == 0)

    def _start_control_plane(self) -> None:
        self._run("etcd", _ETCD)
        self._run("kube-apiserver", _APISERVER)
        self._wait("kube-apiserver", lambda: self.kubectl("get", "--raw", "/readyz").returncode == 0)
        self._run("kube-controller-manager", _MANAGER)
        self._run("kube-scheduler", _SCHEDULER)

    def _run(self, name: str, flags: str) -> None:
        # The kernel ends it when this process dies, even by SIGKILL.
        bound = [
            "setpriv",
            "--pdeathsig",
            "TERM",
            name,
            *flags.format(**self._ports, node=NODE, address=self.address, directory=self._directory).split(),
        ]
        environment = os.environ | {"PATH": f"{self._programs}:/usr/sbin:/usr/bin:/sbin:/bin"}
        with (self._directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                bound, cwd=self._directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._started.append((name, process))

    def _end(self, name: str) -> None:
        for process in [process for started, process in self._started if started == name]:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            ended = [started for started, process in self._started if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                failed = ended[0] if ended else name
                tail = (self._directory / f"{failed}.log").read_text(errors="replace")[-3000:]
                raise StartFailed(f"{failed} does not start:\n{tail}")
            time.sleep(0.2)

    def _ctr(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["ctr", "-a", f"{self._directory}/containerd.sock", "-n", "k8s.io", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)


_READY = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"


@contextlib.contextmanager
def running(programs: Path) -> Iterator[Node]:
    """Run a cluster for the length of the block."""
    # The path of a Unix socket is limited to 107 bytes, so it can't lie in a deep temporary directory.
    directory = Path(tempfile.mkdtemp(prefix="cluster-", dir="/tmp"))
    node = Node(programs, directory)
    try:
        node.start()
        yield node
    finally:
        node.stop()
        shutil.rmtree(directory, ignore_errors=True)


def missing() -> list[str]:
    """Names of the programs that a cluster needs and that aren't installed, and what else it lacks."""
    absent = [name for name in ("etcd", "containerd", "runc", "ip", "gcc", "setpriv") if shutil.which(name) is None]
    if not os.access("/usr/lib/cni/bridge", os.X_OK):
        absent.append("containernetworking-plugins")
    return absent + (["root"] if os.geteuid() != 0 else [])


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def _seconds(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _groups(name: str) -> list[Path]:
    """The control group of this name, in each hierarchy that there is."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root / name]
    return [found / name for found in root.iterdir() if not found.is_symlink() and (found / "cgroup.procs").exists()]


def _remove_groups(name: str) -> None:
    for group in _groups(name):
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def _free_network() -> tuple[str, str]:
    """Return a network that no interface is in, and the address of this machine in it."""
    taken = subprocess.run(["ip", "-o", "-4", "addr"], capture_output=True, text=True, check=False).stdout
    number = next(number for number in range(60, 250) if f" 10.88.{number}." not in taken)
    return f"10.88.{number}.0/24", f"10.88.{number}.1"
