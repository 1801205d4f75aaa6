"""What a worker without a shared directory sends of what lies on its own disk, where jobs write as well."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from agent.execution.report import AllocatedFile
from agent.transport.connection import ServerConnection
from agent.transport.log_uploads import LogUploads
from agent.transport.made_files import KnownFile, MadeFiles
from agent.transport.uploaded_files import UploadedFiles


class Rows:
    """Stands for the database: which files it was asked for, and which of them this worker has recorded."""

    def __init__(self, *recorded: KnownFile) -> None:
        self.recorded = recorded
        self.asked: list[str] = []

    def known(self, paths: list[str]) -> list[KnownFile]:
        self.asked += paths
        return [one for one in self.recorded if one.file_path in paths]


def opened(root: Path, rows: Rows) -> tuple[UploadedFiles, LogUploads]:
    """Nothing is sent: what waits can be counted."""
    uploads = LogUploads(cast(ServerConnection, None), most_waiting=1000)
    return UploadedFiles(root, uploads, cast(MadeFiles, rows), wait=0.0), uploads


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_a_note_sends_the_log_of_its_own_execution_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, "execution_7/stdout.log", "own")
    write(tmp_path, "execution_7/stdout.upload", "core/echo/stdout/log/e7.txt")
    for folder, stream, forged in (
        ("execution_7", "stderr", "other/report/v1.txt"),
        ("execution_8", "stdout", "core/echo/stdout/log/e7.txt"),
        ("execution_9", "stdout", "../../etc/stdout/log/e9.txt"),
    ):
        write(tmp_path, f"{folder}/{stream}.log", "forged")
        write(tmp_path, f"{folder}/{stream}.upload", forged)
    files, uploads = opened(tmp_path, Rows())
    files.send_left()
    assert uploads.waiting == len("own")


def test_of_other_files_those_are_sent_that_this_worker_has_recorded(tmp_path: Path) -> None:
    write(tmp_path, "core/made/v1.bin", "12345")
    write(tmp_path, "core/planted/v1.bin", "planted")
    write(tmp_path, ".attune-spool-x/report", "no artifact")
    rows = Rows(KnownFile(7, "core/made/v1.bin"), KnownFile(7, "core/gone/v1.bin"))
    files, uploads = opened(tmp_path, rows)
    files.send_left()
    assert sorted(rows.asked) == ["core/made/v1.bin", "core/planted/v1.bin"]
    assert uploads.waiting == 5


def test_a_file_has_the_size_that_was_written_here_else_that_of_its_row(tmp_path: Path) -> None:
    write(tmp_path, "a/v1", "12345")
    write(tmp_path, "a/v3", "")
    (tmp_path / "a" / "v5").symlink_to("v1")
    files, _ = opened(tmp_path, Rows())
    made = [AllocatedFile(number, 1, 7, f"a/v{number}", 9 if number == 4 else None) for number in range(1, 6)]
    sizes = {1: 5, 2: 0, 3: 0, 5: 0}
    assert files.measure(made) == sizes, "what the action uploaded itself is left as its row says"
    assert files.measure(made) == sizes, "and the same when the transaction is tried again"
