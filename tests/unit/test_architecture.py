"""What may be used where: the boundaries of docs/architecture.md that no linter checks, read from the syntax trees."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.unit.source_trees import AGENT, ROOT, imported, nodes, trees, used

#: A module that may be imported below these places only: `process/` is a folder, `threads.py` a file.
IMPORTS = {
    "subprocess": ("process/spawn.py", "cli/embedded.py", "cli/up.py"),  # errors of the database server; --detach
    "pika": ("mq/rabbit/", "cli/doctor.py"),  # the doctor tries every library once
    "_thread": ("process/frozen.py",),  # a lock, before anything larger is loaded
    "ctypes": ("process/", "packs/directory_swap.py", "reading/beneath.py"),  # renameat2(2), openat2(2)
    "regex": ("reading/patterns.py", "cli/doctor.py"),  # patterns of packs are compiled in one way
    "click": ("cli/",),
    "rich": ("cli/",),
    "multiprocessing": (),
    "concurrent": (),
    "asyncio": (
        "server/service.py",
        "server/rule_changes.py",
        "server/streams/",
    ),  # the loop of the HTTP server, and who waits in it
}

#: Calls and attributes that may be used below these places only.
NAMES = {
    "threading.Thread": ("threads.py",),
    "threading.Timer": (),
    "os.environ": ("cli/", "process/child_env.py", "process/frozen.py", "process/leftovers.py"),
    "os.getenv": (),
    "os.putenv": (),
    "sys.exit": ("cli/main.py", "cli/operator.py"),
    # After a second signal: a handler in a thread can't be interrupted; the end of a forked process.
    "os._exit": ("server/stop_requests.py", "process/guardian.py"),
    "os.fork": ("process/guardian.py",),
    "os.system": (),
    "os.popen": (),
    "os.execv": (),
    "os.execve": (),
    "os.kill": ("process/", "cli/embedded.py", "cli/up.py"),  # their database server; `attune down`
    "os.killpg": ("process/",),
    "os.waitpid": ("process/",),
    "os.waitid": ("process/",),
    "os.setuid": (),
    "signal.signal": ("process/stop_signals.py", "process/guardian.py", "server/stop_requests.py", "cli/"),
    "signal.set_wakeup_fd": ("process/stop_signals.py",),
    "psycopg.connect": ("db/",),
    "psycopg.Connection.connect": ("db/",),
    "logging.basicConfig": (),
    # What may be hostile is read in one way (agent/reading). These read what the operator, the kernel or we wrote, or
    # what was measured before.
    "json.loads": (
        *(
            "access/tokens.py",
            "cli/",
            "configuration/node.py",
            "control/",
            "dispatch/wakeup.py",
            "presence/labels.py",
            "environments/marker.py",
            "environments/renv.py",
        ),
        "server/strict_json.py",
    ),
    "yaml.safe_load": ("runtimes/definition_files.py",),
    "yaml.compose": ("packs/document.py",),
    "yaml.parse": ("execution/outcome/yaml_document.py",),
    "yaml.load": (),
    "yaml.unsafe_load": (),
    "pickle.loads": (),
    "os.open": (
        *("cli/", "client/login_file.py", "environments/lock.py", "execution/", "process/", "reading/"),
        "server/stored_files.py",
        "transport/pack_versions.py",
    ),
}

#: Built-in functions: output is written and the program is ended by commands.
BUILT_INS = {
    "open": (
        "cli/",
        "process/",
        "reading/",
        "control/parameter_values.py",  # a field of that name
        # To be read in the one way as well: builders open programs, archives and sources.
        "environments/compiled.py",
        "environments/venv.py",
    ),
    "eval": (),
    "exec": (),
    "print": ("cli/",),
    "exit": (),
    "quit": (),
    "SystemExit": (),
    "input": (),
}

#: Says nothing about its contents: whatever belongs nowhere ends up in it.
EMPTY_NAMES = {"base", "common", "helper", "helpers", "misc", "miscellaneous", "shared", "tools", "util", "utils"}

#: A name of the standard library under which nothing else is to be found; here with the reason to use it all the same.
STANDARD_NAMES = {
    "agent/cli/operator.py": "the command of operators, as the installed program names it",
    "agent/environments/venv.py": "the kind of environment that `venv` makes",
    "agent/execution/secrets": "secrets of executions",
}

#: One file name in several folders, and why that misleads nobody.
REPEATED_NAMES = {
    "actions": "what the API says of them, and the page of them",
    "audit": "how it is written, and the page of it",
    "execution": "the command, and the page of one",
    "health": "the command, and what the API says of this process",
    "identities": "accounts (access), and what the API says of them",
    "identity": "who a worker is (presence), and the command for accounts",
    "keys": "what the API says of stored keys",
    "packs": "what the API says of them",
    "runtimes": "what the API says of them",
    "workers": "what is done with them (control), what is looked at (dispatch), what the API says of them",
    "rule": "the command, and a rule of a timer (timers)",
    "login": "the command, and how somebody logs in (access)",
    "model": "the value types of its folder",
    "store": "the statements of its folder",
    "connection": "to a server: to RabbitMQ (mq/rabbit), to Attune's API (transport)",
    "broker": "mq: the protocol; mq/rabbit and mq/database: the two that speak it",
    "consumer": "the same part of the two brokers",
    "declaration": "the same part of the two brokers",
    "link": "the same part of the two brokers",
    "publisher": "the same part of the two brokers",
    "address": "the address of a server: of PostgreSQL (db), of RabbitMQ (mq/rabbit), of Attune's API (transport)",
    "pack_archives": "the archives of packs, and the route that sends them",
    "settings": "the tree of settings; in cli the command of that name",
    "choice": "the decision of its folder: of a worker (placement), of a version (runtimes)",
    "executions": "the part of its folder that is about executions",
    "fleet": "the workers as its folder sees them",
    "rows": "the rows of its folder's statements, as values",
    "statements": "named SQL: how it is loaded and typed (db), the hot path's (execution/recording)",
    "explanation": "why the decision of its folder is what it is: of a worker (placement), of a version (runtimes)",
    "network": "reaching servers: of this deployment (doctor), of package indexes (environments)",
    "service": "what a part of the program starts and stops, in which order",
    "assembly": "which part knows which: of a worker, of a sensor service",
    "tokens": "of people and services (access), of one execution (execution/secrets)",
}


def misplaced(found: Iterable[tuple[str, str]], allowed: dict[str, tuple[str, ...]]) -> list[str]:
    """Return ``file: name`` for each name that is used outside its places."""
    return sorted({f"{file}: {name}" for file, name in found if name in allowed and not file.startswith(allowed[name])})


def test_a_name_is_recognised_however_it_was_imported() -> None:
    text = "import os, threading as t\nfrom sys import exit as leave\nos.environ\nt.Thread()\nleave(1)"
    assert {"os.environ", "threading.Thread", "sys.exit"} <= set(used(ast.parse(text)))


def test_modules_are_imported_only_where_they_belong() -> None:
    found = [(file, name.partition(".")[0]) for file, tree in trees().items() for name in imported(tree)]
    assert misplaced(found, IMPORTS) == []


def test_processes_threads_environment_and_exits_stay_where_they_belong() -> None:
    found = [(file, name) for file, tree in trees().items() for name in used(tree)]
    assert misplaced(found, NAMES | BUILT_INS) == []


def test_psycopg_is_used_by_the_database_layer_and_beside_statements() -> None:
    statements = {str(file.parent.relative_to(AGENT)) + "/" for file in AGENT.rglob("queries.sql")}
    found = [(file, name.partition(".")[0]) for file, tree in trees().items() for name in imported(tree)]
    assert misplaced(found, {"psycopg": ("db/", "cli/doctor.py", *sorted(statements))}) == []


#: Rows that are read by the place of their columns: those of a statement whose columns are checked when it is prepared,
#: and those of statements whose two columns have the names of their tables.
ROWS_BY_NUMBER = ("execution/recording/statements.py", "cli/completion.py")


ROWS = re.compile(r"rows?|.*\.fetch(one|all)\(\)", re.DOTALL)


def rows_by_number(tree: ast.AST) -> list[int]:
    """Return the lines that read a column other than the only one by its place.

    That is ``row[2]``, ``Kind(*row)``, ``a, b = row`` and ``for a, b in rows``.
    """
    found = []
    for node in nodes(tree):
        if isinstance(node, ast.Assign | ast.For | ast.comprehension):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = node.value if isinstance(node, ast.Assign) else node.iter
            several = any(isinstance(target, ast.Tuple) and len(target.elts) > 1 for target in targets)
            found += [value.lineno] if several and ROWS.fullmatch(ast.unparse(value)) else []
            continue
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            place = node.slice.value
            by_place = isinstance(place, int) and place > 0 and ast.unparse(node.value) in {"row", "one"}
        else:
            by_place = isinstance(node, ast.Starred) and ast.unparse(node.value) in {"row", "one"}
        found += [node.lineno] if by_place else []
    return found


def test_columns_are_read_by_their_names() -> None:
    found = {path: rows_by_number(tree) for path, tree in trees().items() if path not in ROWS_BY_NUMBER}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_column_read_by_its_place_is_recognised() -> None:
    read = ["a = row[2]", "b = Ended(*row)", "a, b = row", "for a, b in rows: pass", "[a for a, b in c.fetchall()]"]
    assert [rows_by_number(ast.parse(line)) for line in read] == [[1]] * len(read)
    assert rows_by_number(ast.parse("a = row[0]\nb = row['name']\nfor row in rows: pass\n(a,) = row")) == []


def test_every_place_of_a_rule_exists() -> None:
    for places in (*IMPORTS.values(), *NAMES.values(), *BUILT_INS.values()):
        for place in places:
            assert (AGENT / place).exists(), place
    for path in STANDARD_NAMES:
        assert (ROOT / path).exists(), path


def test_nothing_happens_when_a_module_is_imported() -> None:
    def acts(node: ast.stmt) -> bool:
        called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        return called or isinstance(node, ast.For | ast.While | ast.With)

    assert [f"{file}:{node.lineno}" for file, tree in trees().items() for node in tree.body if acts(node)] == []


def test_every_module_says_what_it_is_for() -> None:
    assert [file for file, tree in trees().items() if not ast.get_docstring(tree)] == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {str(Path(file).parent) for file in trees()}
    assert [folder for folder in sorted(folders) if str(Path(folder, "__init__.py")) not in trees()] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [file for file in trees() if EMPTY_NAMES & {Path(file).stem, *Path(file).parts}] == []


def test_no_module_is_called_like_one_of_the_standard_library() -> None:
    paths = {f"agent/{file}" for file in trees()} | {f"agent/{Path(file).parent}" for file in trees()}
    clashes = {path for path in paths if Path(path).stem in sys.stdlib_module_names}
    assert clashes <= set(STANDARD_NAMES)


def test_a_file_name_stands_in_one_folder_or_means_the_same_everywhere() -> None:
    folders = defaultdict(list)
    for file in trees():
        if Path(file).name != "__init__.py":
            folders[Path(file).stem].append(str(Path(file).parent))
    repeated = {name: places for name, places in folders.items() if len(places) > 1}
    unexplained = {name: places for name, places in repeated.items() if name not in REPEATED_NAMES}
    assert unexplained == {}


#: Methods by which a path is read without asking what it is; these read what the operator, the kernel or we wrote.
READING_METHODS = {
    "read_text": (
        *("cli/", "configuration/", "db/queries.py", "doctor/", "environments/lock.py", "presence/limits.py"),
        "process/control_group.py",
        "server/permissions_table.py",
    ),
    "read_bytes": ("cli/", "configuration/", "db/migrations.py", "doctor/", "server/page/assets.py"),
    "open": (
        "cli/",
        "client/pack_archive.py",  # writes the archive that it sends
        "client/transport.py",  # of an opener of URLs
        "control/artifact_files.py",  # of `reading.beneath.Directory`
        "execution/outcome/log_files.py",  # of `reading.beneath.Directory`
        "packs/archive.py",  # writes what it unpacks
        "presence/labels.py",  # a file that the operator names
        "server/streams/log_places.py",  # of `reading.beneath.Directory`
        "server/stored_files.py",  # of `reading.beneath.Directory`
        "transport/uploaded_files.py",  # of the same
        "process/hosting.py",  # of `OomScore`
    ),
}
#: Functions of ``re`` that compile what they are given: a text of somebody else goes to `reading/patterns.py`.
#: These are put together of our own texts: definitions of languages, names that are escaped.
COMPILED_FROM_PARTS = {"environments/layout.py", "logs.py", "packs/runtime_files.py", "runtimes/candidates.py"}
COMPILING = {
    f"re.{name}" for name in ("compile", "search", "match", "fullmatch", "findall", "finditer", "sub", "split")
}


def reads(tree: ast.Module) -> set[str]:
    """The methods of ``READING_METHODS`` that a module calls on anything but a module."""
    calls = [node.func for node in nodes(tree) if isinstance(node, ast.Call)]
    modules = set(imported(tree))
    return {
        call.attr
        for call in calls
        if isinstance(call, ast.Attribute)
        and call.attr in READING_METHODS
        and not (isinstance(call.value, ast.Name) and call.value.id in modules)
    }


def compiled_at_run_time(tree: ast.Module) -> list[int]:
    """Lines at which ``re`` is given a pattern that isn't written there."""
    return [
        node.lineno
        for node in nodes(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in COMPILING
        and not isinstance(node.args[0], ast.Constant)
    ]


def test_a_path_is_read_in_one_way() -> None:
    found = [(file, name) for file, tree in trees().items() for name in reads(tree)]
    assert misplaced(found, READING_METHODS) == []


def test_a_reading_method_is_recognised() -> None:
    assert reads(ast.parse("import os\nos.open(x)\n(a / b).read_text()\nlocal.open()")) == {"read_text", "open"}


def test_a_pattern_of_somebody_else_is_compiled_in_one_way() -> None:
    found = {file for file, tree in trees().items() if compiled_at_run_time(tree)}
    assert found == COMPILED_FROM_PARTS


def test_a_pattern_that_is_not_written_in_place_is_recognised() -> None:
    assert compiled_at_run_time(ast.parse("import re\nre.compile('a')\nre.search(given, text)")) == [3]
