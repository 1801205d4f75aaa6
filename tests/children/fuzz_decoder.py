"""Feed one decoder with whatever atheris makes of what it has seen so far: ``fuzz_decoder.py NAME [OPTION…]``.

The options are libFuzzer's. It ends with an error, and with the input, when a decoder raises what it doesn't promise.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["agent"]):
    from agent.errors import InvalidExecution, MessageError, VersionError
    from agent.execution.inputs.dotenv import to_dotenv
    from agent.execution.outcome.parsing import parse_output
    from agent.execution.report import Report
    from agent.mq.messages import decode_cancel_request, decode_dispatch, decode_pack_event
    from agent.packs.parser import parse_pack
    from agent.reading.json_text import read_json
    from agent.reading.patterns import PatternError, check_pattern
    from agent.versions import parse_constraint, parse_version

PROMISED = (MessageError, InvalidExecution, VersionError, PatternError)


def envelope(data: bytes) -> None:
    """Decode one of three kinds of messages."""
    for decode in (decode_dispatch, decode_cancel_request, decode_pack_event):
        try:
            decode(data)
        except MessageError:
            continue


def output(data: bytes) -> None:
    """Read what an action printed; nothing may come out of it but a value."""
    for form in ("json", "jsonl", "yaml", "text"):
        parse_output(data.decode("utf-8", "replace"), form)


def dotenv(data: bytes) -> None:
    """Write parameters."""
    try:
        parameters = read_json(data)
    except ValueError:
        return
    if isinstance(parameters, dict):
        to_dotenv(parameters)


def versions(data: bytes) -> None:
    """Read a version and a constraint."""
    text = data.decode("utf-8", "replace")
    for language in (None, "java", "python"):
        for parse in (parse_version, parse_constraint):
            try:
                parse(text, language)
            except VersionError:
                continue


def pattern(data: bytes) -> None:
    """Check a pattern of a pack."""
    check_pattern(data.decode("utf-8", "replace"))


def spool(data: bytes) -> None:
    """Read a report that was kept on disk."""
    try:
        Report.from_json(data.decode("utf-8", "replace"))
    except (ValueError, KeyError, TypeError):
        return


def pack(data: bytes) -> None:
    """Read a pack whose three files are the input."""
    directory = Path(tempfile.mkdtemp(prefix="attune-fuzz-"))
    try:
        for name in ("pack.yaml", "actions/a.yaml", "runtimes/r.yaml"):
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_bytes(data)
        parse_pack(directory)
    finally:
        shutil.rmtree(directory)


DECODERS: dict[str, Callable[[bytes], None]] = {
    decoder.__name__: decoder for decoder in (envelope, output, dotenv, versions, pattern, spool, pack)
}


def main() -> None:
    """Fuzz the decoder that the first argument names."""
    decoder = DECODERS[sys.argv.pop(1)]

    def once(data: bytes) -> None:
        try:
            decoder(data)
        except PROMISED:
            return

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
