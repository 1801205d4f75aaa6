"""What a requirements file names."""

from __future__ import annotations

import pytest

from agent.environments.requirements_file import Entry, read_requirements


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("-r base.txt", Entry("include", "base.txt")),
        ("-rbase.txt", Entry("include", "base.txt")),
        ("--requirement=base.txt", Entry("include", "base.txt")),
        ("--constraint  limits.txt # why", Entry("include", "limits.txt")),
        ("-cl.txt", Entry("include", "l.txt")),
        ("\ufeff-r base.txt", Entry("include", "base.txt")),
        ("./lib/hi", Entry("local", "./lib/hi")),
        ("lib/hi", Entry("local", "lib/hi")),
        ("./lib/hi[extra] ; python_version > '3'", Entry("local", "./lib/hi")),
        ("-e ./lib/hi#egg=hi", Entry("local", "./lib/hi")),
        ("--editable=lib/hi", Entry("local", "lib/hi")),
        ("hi @ file:./lib/hi", Entry("local", "./lib/hi", "hi")),
        ("wheels/hi-1.0-py3-none-any.whl", Entry("local", "wheels/hi-1.0-py3-none-any.whl")),
        (".", Entry("local", ".")),
        ("--find-links wheels", Entry("links", "wheels")),
        ("-f wheels", Entry("links", "wheels")),
        ("--no-index", Entry("option", "--no-index")),
        ("Attune_Greeting==1.0", Entry("requirement", "Attune_Greeting==1.0", "Attune_Greeting")),
        ("hi[a,b]>=1,<2", Entry("requirement", "hi[a,b]>=1,<2", "hi")),
        ("hi==1 ; sys_platform == 'win32'", Entry("requirement", "hi==1 ; sys_platform == 'win32'", "")),
        ("hi @ https://host/hi.whl", Entry("requirement", "hi @ https://host/hi.whl", "hi")),
    ],
)
def test_a_line_is_read_as_pip_reads_it(line: str, entry: Entry) -> None:
    assert list(read_requirements(line)) == [entry]


def test_comments_blank_lines_and_continuations() -> None:
    assert list(read_requirements("\ufeff# nothing\n\n   # more\n")) == []
    assert [entry.value for entry in read_requirements("hi==1 \\\n  --hash=sha256:0\nho")] == [
        "hi==1    --hash=sha256:0",
        "ho",
    ]
