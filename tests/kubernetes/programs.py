"""Kubernetes' programs and Helm, compiled once from the Go module proxy and kept outside the source tree.

``python -m tests.kubernetes.programs`` makes them ahead: five minutes of two processors.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parent / "programs"
KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
_VERSION = "k8s.io/component-base/version"
_HELM = "helm.sh/helm/v3/pkg/chartutil"
#: What the sources need at least; Debian's own may be older and gets the other one as a module.
_GO = (1, 22)
_TOOLCHAIN = "golang.org/toolchain@v0.0.1-go1.23.12.linux-{architecture}"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
#: Definitions of the resources of others that the chart renders: where they are published, as Go modules.
_DEFINITIONS = {
    "github.com/kedacore/keda/v2@v2.16.1": (
        "config/crd/bases/keda.sh_scaledobjects.yaml",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.79.2": (
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
}


class CannotBuild(Exception):
    """Something that the programs are compiled with is missing."""


def directory() -> Path:
    """Where the programs of these sources lie, built or not."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((SOURCES / name).read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attune-agent"
    return cache / f"kubernetes-{platform.machine()}-{digest.hexdigest()[:12]}"


def build() -> Path:
    """Return the directory with all programs; compile what is missing.

    Raises:
        CannotBuild: there is no Go, or it failed; the message says what to do.
    """
    place = directory()
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "helm").exists():
            go = _go()
            release = re.search(r"k8s\.io/kubernetes v(1\.(\d+)\.\d+)", (SOURCES / "go.mod").read_text())
            assert release is not None
            flags = (
                f"-X {_VERSION}.gitVersion=v{release[1]} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor={release[2]}"
            )
            if not (place / "kubernetes").exists():
                _compile(go, ".", place / "kubernetes", flags)
            for name in KUBERNETES:
                (place / name).unlink(missing_ok=True)
                (place / name).symlink_to("kubernetes")
            # Without a cluster Helm renders for the release that it was told when it was built.
            told = {"k8sVersionMajor": "1", "k8sVersionMinor": release[2]}
            flags = " ".join(f"-X {_HELM}.{name}={value}" for name, value in told.items())
            _compile(go, "helm.sh/helm/v3/cmd/helm", place / "helm", flags)
    return place


def definitions() -> list[Path]:
    """Return the files with definitions of others' resources; fetch what is missing. Raises CannotBuild."""
    found = []
    for module, files in _DEFINITIONS.items():
        root = _module(_go(), module)
        found += [root / name for name in files]
    return found


def _module(go: str, name: str) -> Path:
    done = subprocess.run([go, "mod", "download", "-json", name], capture_output=True, text=True, check=False, cwd="/")
    if done.returncode != 0:
        raise CannotBuild(f"the Go module {name} can't be fetched: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def _go() -> str:
    installed = shutil.which("go")
    if installed is None:
        raise CannotBuild("install Go (Debian: golang-go)")
    said = subprocess.run([installed, "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) >= _GO:
        return installed
    return toolchain(installed)


def toolchain(go: str) -> str:
    """Return a newer compiler, fetched as a module by the one that is installed."""
    root = _module(go, _TOOLCHAIN.format(architecture=_ARCHITECTURES.get(platform.machine(), "amd64")))
    # The module cache keeps no execute permissions.
    for pattern in ("bin/*", "pkg/tool/*/*"):
        for program in root.glob(pattern):
            program.chmod(0o755)
    return str(root / "bin" / "go")


def _compile(go: str, package: str, output: Path, flags: str) -> None:
    new = output.with_suffix(".new")
    command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", f"-ldflags=-s -w {flags}"]
    environment = {name: value for name, value in os.environ.items() if name not in ("GOROOT", "GOFLAGS")}
    done = subprocess.run(
        [*command, "-o", new, package],
        cwd=SOURCES,
        env=environment | {"CGO_ENABLED": "0"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CannotBuild(f"go build {package} fails: {done.stderr[-2000:]}")
    os.replace(new, output)


if __name__ == "__main__":
    try:
        print(build(), *definitions(), sep="\n")
    except CannotBuild as error:
        sys.exit(f"Kubernetes' programs can't be made: {error}")
