"""Packs with a dependency in each language, written file by file; nothing here needs a network."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.integration.environment_site import make_wheel


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write text files below ``root``."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def read_only(pack: Path) -> Path:
    """Take the right to write from the whole pack, which stops every user but root."""
    for folder, _, names in os.walk(pack):
        for name in names:
            os.chmod(Path(folder, name), 0o444)
        os.chmod(folder, 0o555)
    return pack


def state(pack: Path) -> dict[str, bytes]:
    """Return every file of the pack with its content."""
    return {str(path.relative_to(pack)): path.read_bytes() for path in pack.rglob("*") if path.is_file()}


def python_pack(pack: Path, version: str) -> Path:
    make_wheel(pack / "wheels", "attune_greeting", version, f'TEXT = "hello from {version}"\n')
    return write(
        pack,
        {
            "requirements.txt": f"--no-index\n--find-links wheels\nattune-greeting=={version}\n",
            "actions/greet.py": "import attune_greeting\nprint(attune_greeting.TEXT)\n",
        },
    )


def node_pack(pack: Path, version: str) -> Path:
    return write(
        pack,
        {
            "package.json": json.dumps(
                {"dependencies": {"hello": "file:./lib/hello"}, "devDependencies": {"tool": "file:./lib/tool"}}
            ),
            "lib/hello/package.json": json.dumps({"name": "hello", "version": version}),
            "lib/hello/index.js": f"exports.hi = 'hello from {version}';\n",
            "lib/tool/package.json": '{"name": "tool", "version": "1.0.0"}',
            "lib/tool/index.js": "exports.say = console.log;\n",
            "actions/greet.js": "require('tool').say(require('hello').hi);\n",
        },
    )


def ruby_pack(pack: Path, version: str) -> Path:
    return write(
        pack,
        {
            "Gemfile": 'gem "greeting", path: "lib/greeting"\n',
            "lib/greeting/greeting.gemspec": (
                "Gem::Specification.new do |s|\n"
                f"  s.name = 'greeting'; s.version = '{version}'; s.summary = 'x'; s.authors = ['x']\n"
                "  s.files = ['lib/greeting.rb']\nend\n"
            ),
            "lib/greeting/lib/greeting.rb": f"module Greeting; TEXT = 'hello from {version}'; end\n",
            "actions/greet.rb": "require 'greeting'\nputs Greeting::TEXT\n",
        },
    )


def go_pack(pack: Path, version: str) -> Path:
    return write(
        pack,
        {
            "go.mod": (
                "module example.invalid/pack\n\ngo 1.18\n\nrequire example.invalid/greeting v0.0.0\n\n"
                "replace example.invalid/greeting => ./lib/greeting\n"
            ),
            "lib/greeting/go.mod": "module example.invalid/greeting\n\ngo 1.18\n",
            "lib/greeting/greeting.go": f'package greeting\n\nconst Text = "hello from {version}"\n',
            "actions/greet.go": (
                'package main\n\nimport (\n\t"fmt"\n\n\t"example.invalid/greeting"\n)\n\n'
                "func main() { fmt.Println(greeting.Text) }\n"
            ),
        },
    )


def perl_pack(pack: Path, version: str) -> Path:
    """With a CPAN mirror of its own in ``mirror``."""
    name = f"Attune-Greeting-{version}"
    files = {
        "Makefile.PL": (
            "use ExtUtils::MakeMaker;\n"
            "WriteMakefile(NAME => 'Attune::Greeting', VERSION_FROM => 'lib/Attune/Greeting.pm');\n"
        ),
        "lib/Attune/Greeting.pm": (
            f"package Attune::Greeting; our $VERSION = '{version}';\nour $TEXT = 'hello from {version}'; 1;\n"
        ),
        "META.json": json.dumps({"name": "Attune-Greeting", "version": version, "meta-spec": {"version": "2"}}),
        "MANIFEST": "Makefile.PL\nlib/Attune/Greeting.pm\nMETA.json\n",
    }
    tarball(pack / f"mirror/authors/id/A/AT/ATTUNE/{name}.tar.gz", name, files)
    index = f"File: 02packages.details.txt\n\nAttune::Greeting  {version}  A/AT/ATTUNE/{name}.tar.gz\n"
    (pack / "mirror/modules").mkdir(parents=True)
    details = pack / "mirror/modules/02packages.details.txt.gz"
    details.write_bytes(gzip.compress(index.encode()))
    # cpanm keeps an index until one comes that is younger by a second: a later version's has to be.
    os.utime(details, (0, 1_000_000_000 + 10 * float(version)))
    return write(
        pack,
        {
            "cpanfile": "requires 'Attune::Greeting';\nrequires 'JSON::PP';\nrequires 'perl', '5.010';\n",
            "actions/greet.pl": 'use Attune::Greeting; print "$Attune::Greeting::TEXT\\n";\n',
        },
    )


def r_pack(pack: Path, version: str) -> Path:
    files = {
        "greeting/DESCRIPTION": (
            f"Package: greeting\nVersion: {version}\nTitle: Greets\nDescription: Greets.\nLicense: CC0\n"
            "Author: A B\nMaintainer: A B <a@example.invalid>\n"
        ),
        "greeting/NAMESPACE": "export(text)\n",
        "greeting/R/text.R": f"text <- function() 'hello from {version}'\n",
    }
    tarball(pack / f"renv/cellar/greeting_{version}.tar.gz", "", files)
    lock = {
        "R": {"Version": "4.2.2", "Repositories": []},
        "Packages": {
            "greeting": {"Package": "greeting", "Version": version, "Source": "Repository"},
            "renv": {"Package": "renv", "Version": "1.0.7", "Source": "Repository"},  # as every lock file has
        },
    }
    return write(
        pack,
        {
            "renv.lock": json.dumps(lock),
            "actions/greet.R": "cat(greeting::text(), '\\n', sep = '')\n",
            ".Rprofile": "stop('the profile of the pack must not run')\n",
        },
    )


def java_pack(pack: Path, version: str) -> Path:
    """With a Maven repository in ``repo``: Debian's plugins and a jar of our own."""
    repo = pack.parent / f"{pack.name}-repo"
    repo.mkdir(exist_ok=True)
    for entry in Path("/usr/share/maven-repo").iterdir():
        (repo / entry.name).symlink_to(entry)
    home = repo / "invalid.example" / "greeting" / version
    classes = home / "classes"
    write(
        classes,
        {
            "greeting/Greeting.java": (
                f'package greeting; public class Greeting {{ public static String TEXT = "hello from {version}"; }}\n'
            )
        },
    )
    subprocess.run(["javac", "-d", str(classes), str(classes / "greeting/Greeting.java")], check=True)
    (repo / "invalid").mkdir()
    target = repo / "invalid/example/greeting" / version
    target.mkdir(parents=True)
    jar = target / f"greeting-{version}.jar"
    subprocess.run(["jar", "--create", "--file", str(jar), "-C", str(classes), "greeting/Greeting.class"], check=True)
    coordinates = f"<groupId>invalid.example</groupId><artifactId>greeting</artifactId><version>{version}</version>"
    model = "<modelVersion>4.0.0</modelVersion>"
    (target / f"greeting-{version}.pom").write_text(f"<project>{model}{coordinates}</project>")
    return write(
        pack,
        {
            "pom.xml": (
                f"<project>{model}<groupId>invalid.example</groupId><artifactId>pack</artifactId><version>1</version>"
                "<properties><maven.compiler.source>11</maven.compiler.source>"
                "<maven.compiler.target>11</maven.compiler.target></properties>"
                f"<dependencies><dependency>{coordinates}</dependency></dependencies></project>"
            ),
            "src/main/java/own/Own.java": 'package own; public class Own { public static String SIGN = "!"; }\n',
            "actions/Greet.java": (
                "public class Greet { public static void main(String[] a) {"
                " System.out.println(greeting.Greeting.TEXT + own.Own.SIGN); } }\n"
            ),
        },
    )


def php_pack(pack: Path, version: str) -> Path:
    """A ninth language, made of YAML alone: see ``PHP``."""
    return write(
        pack,
        {
            "libraries.txt": f"# one each line\ngreeting-{version}\n",
            f"libraries/greeting-{version}/greeting.php": f"<?php const TEXT = 'hello from {version}';\n",
            "actions/greet.php": "<?php require 'greeting.php'; echo TEXT, PHP_EOL;\n",
        },
    )


PHP = {
    "interpreter": {"binary": "php", "args": [], "file_extension": ".php"},
    "environment": {
        "env_type": "php_library",
        "create_command": ["mkdir", "-p", "{env_dir}/lib"],
        "check_command": ["sh", "-c", 'ls "$1"/lib/*.php > /dev/null', "sh", "{env_dir}"],
        "unset": ["PHP_INI_SCAN_DIR"],
    },
    "dependencies": {
        "manifest_file": "libraries.txt",
        "install_command": [
            "sh",
            "-c",
            'grep "^[^#]" "$1" | while read -r name; do cp "$2/libraries/$name"/*.php "$3/lib/" || exit 1; done',
            "sh",
            "{manifest_path}",
            "{pack_dir}",
            "{env_dir}",
        ],
    },
    "env_vars": {"PHPRC": "{env_dir}"},
}


def tarball(path: Path, prefix: str, files: Mapping[str, str]) -> None:
    """Make a compressed archive of text files below ``prefix``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            data = text.encode()
            entry = tarfile.TarInfo(f"{prefix}/{name}" if prefix else name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
