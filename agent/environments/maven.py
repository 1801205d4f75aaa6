"""Java: the jars of a pom.xml and the classes of its sources, as one class path."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from agent.environments.backend import BuildSite
from agent.environments.declared import Declared, read_text
from agent.environments.installer_network import maven_settings, network_variables
from agent.environments.trust_store import java_trust_store
from agent.errors import EnvironmentFailed
from agent.process.child_env import container_environment
from agent.reading.regular_files import read_regular_text

#: Bytes of a PEM file with authorities.
_MOST_AUTHORITIES = 16 * 1024 * 1024
_NAMESPACE = re.compile(r'\sxmlns="[^"]*"')
#: Said by Maven's compiler plugin; by the Java that lacks the modules java.compiler or jdk.compiler.
_NO_COMPILER = re.compile(r"No compiler is provided|javax[./]tools[./]|Module j\w+\.compiler not")
_NO_MAVEN = re.compile(r"can't start mvn|mvn: (?:command )?not found")


class Maven(Declared):
    """``env_type: maven``."""

    label = "Maven class path"

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Name the sources that are compiled with it."""
        return [path for path in (manifest.parent / "src" / "main", manifest.parent / ".mvn") if path.exists()]

    def install_command(self, site: BuildSite) -> Sequence[str]:
        """Keep downloads in the shared cache; proxy, mirror and authorities have no variable that Maven reads."""
        command = super().install_command(site)
        if not command or os.path.basename(command[0]) not in ("mvn", "mvnw"):
            return command
        words = [f"-Dmaven.repo.local={site.installers.cache_dir / 'maven'}"]
        words = [] if any(word.startswith("-Dmaven.repo.local=") for word in command) else words
        network = network_variables(site.installers.network)
        settings = maven_settings({**container_environment(), **network}, site.installers.network.maven_mirror)
        if settings is not None:
            file = site.env_dir / "settings.xml"
            file.touch(mode=0o600)
            file.write_text(settings, encoding="utf-8")
            words += ["-gs", str(file)]
        return (command[0], *words, *_trust(site), *command[1:])

    def check(self, site: BuildSite) -> str | None:
        """Take over what was compiled, and see whether jars are there where the manifest wants some."""
        classes = site.source / "target" / "classes"
        if classes.is_dir():
            shutil.copytree(classes, site.env_dir / "classes", dirs_exist_ok=True)
        wants = site.manifest is not None and _wants_jars(read_text(site.manifest))
        has = any((site.env_dir / "lib").glob("*.jar"))
        return f"no jar is in {site.env_dir / 'lib'}" if wants and not has else None

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Let Maven run on the Java that was chosen, with a home that can be written to."""
        container = container_environment()
        home = container.get("HOME")
        usable = bool(home) and os.access(str(home), os.W_OK)
        options = container.get("MAVEN_OPTS", "")
        if not usable:
            options = f"{options} -Duser.home={site.installers.cache_dir / 'home'}".strip()
        java_home = Path(os.path.realpath(site.request.interpreter)).parent.parent
        return {
            **({"MAVEN_OPTS": options} if options else {}),
            **({"JAVA_HOME": str(java_home)} if (java_home / "bin" / "java").exists() else {}),
            **super().variables(site),
        }

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Explain a machine that has Java alone."""
        if _NO_MAVEN.search(output):
            return "this machine has Java but no Maven; on Debian and Ubuntu: apt-get install maven"
        if _NO_COMPILER.search(output):
            java = site.request.interpreter
            return f"{java} is a Java without compiler; on Debian and Ubuntu: apt-get install default-jdk-headless"
        return super().remedy(site, output)


def _wants_jars(pom: str) -> bool:
    """Whether a dependency is one that actions run with; what can't be told is Maven's to say."""
    if "<!DOCTYPE" in pom:
        return False  # entities may be made to never end
    try:
        project = ElementTree.fromstring(_NAMESPACE.sub("", pom, count=1))  # noqa: S314 - without a DOCTYPE
    except ElementTree.ParseError:
        return False
    found = project.findall("dependencies/dependency")
    return any(
        each.findtext("scope", "compile").strip() in ("compile", "runtime")
        and each.findtext("type", "jar").strip() == "jar"
        and each.findtext("optional", "false").strip() != "true"
        for each in found
    )


def _trust(site: BuildSite) -> Sequence[str]:
    """Let Java trust the authorities that the operator named, and no other, as the other installers do."""
    named = site.installers.network.ca_file
    if named is None:
        return ()
    file = site.env_dir / "authorities.jks"
    try:
        file.write_bytes(java_trust_store(read_regular_text(named, _MOST_AUTHORITIES)))
    except (OSError, ValueError) as error:
        raise EnvironmentFailed(
            f"{site.request}: install dependencies failed: network.ca_file {named} can't be used: {error}",
            step="install dependencies",
        ) from error
    return (f"-Djavax.net.ssl.trustStore={file}", "-Djavax.net.ssl.trustStoreType=JKS")
