"""Live views: what happens to executions, and what they write, from any place on, to whoever may see it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.access.tokens import LEEWAY, Claims, mint
from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.deployment import JWT_SECRET, running_deployment
from tests.services.events import Events, events
from tests.services.server import ApiClient
from tests.services.waiting import until

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server that places nothing, so that executions stay what a test makes of them."""
    with running_deployment(request, "database") as deployment:
        opened = open_site(deployment, "--only", "api")
        try:
            yield opened
        finally:
            close_site(opened)


def made(site: Site, status: str = "running", action: str = "live.none", executor: int | None = None) -> int:
    """Make an execution that no worker touches."""
    row = site.deployment.one(
        "INSERT INTO execution (action_ref, status, executor) VALUES (%s, %s::execution_status_enum, %s) RETURNING id",
        [action, status, executor],
    )
    return int(row["id"])


def turn(site: Site, execution: int, status: str) -> None:
    site.deployment.database.execute(
        "UPDATE execution SET status = %s::execution_status_enum WHERE id = %s", [status, execution]
    )


def log_of(site: Site, execution: int, stream: str = "stdout") -> Path:
    path = site.deployment.artifacts / f"execution_{execution}" / f"{stream}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def log_path(execution: int, stream: str = "stdout", **query: object) -> str:
    words = "&".join(f"{name}={value}" for name, value in query.items())
    return f"/api/v1/executions/{execution}/logs/{stream}/stream?{words}"


# --- status ---


def test_everybody_hears_of_each_change_with_one_listening_connection(site: Site) -> None:
    before = site.deployment.one("SELECT count(*)::int AS n FROM pg_stat_activity")["n"]
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(events(site.admin, "/api/v1/executions/stream")) for _ in range(30)]
        one = made(site, "requested")
        only = stack.enter_context(events(site.admin, f"/api/v1/executions/stream?execution_id={one}"))
        made(site, "requested")
        turn(site, one, "completed")
        for viewer in viewers:
            seen = [json.loads(event.data) for event in (viewer.next(), viewer.next(), viewer.next())]
            assert [(found["status"], found["entity_type"]) for found in seen] == [
                ("requested", "execution"), ("requested", "execution"), ("completed", "execution")
            ]  # fmt: skip
            assert seen[2]["old_status"] == "requested"
        assert json.loads(only.next().data)["status"] == "completed"
        # The pool of requests may grow by its own threads; viewers add nothing.
        assert site.deployment.one("SELECT count(*)::int AS n FROM pg_stat_activity")["n"] <= before + 10


def test_after_a_gap_a_client_gets_the_present_state_of_what_changed(site: Site) -> None:
    one = made(site, "requested")
    with events(site.admin, "/api/v1/executions/stream") as viewer:
        turn(site, one, "scheduled")
        while json.loads((last := viewer.next()).data)["status"] != "scheduled":
            pass
    turn(site, one, "running")
    turn(site, one, "completed")
    with events(site.admin, "/api/v1/executions/stream", Last_Event_ID=last.id) as viewer:
        while (found := json.loads(viewer.next().data))["id"] != one or found["status"] == "scheduled":
            pass
        assert found["status"] == "completed"
        later = made(site, "requested")
        while json.loads(viewer.next().data)["id"] != later:
            pass


def test_one_who_lost_too_much_is_told_to_load_the_list_again(site: Site) -> None:
    site.deployment.database.execute(
        "INSERT INTO execution (action_ref, status) SELECT 'live.many', 'completed' FROM generate_series(1, 5001)"
    )
    with events(site.admin, "/api/v1/executions/stream", Last_Event_ID="1") as viewer:
        assert viewer.next().name == "reset"
        new = made(site, "requested")
        while json.loads(viewer.next().data)["id"] != new:
            pass
    site.deployment.database.execute("DELETE FROM execution WHERE action_ref = 'live.many'")


def test_the_listener_lost_its_connection_and_nobody_missed_a_change(site: Site) -> None:
    one = made(site, "requested")
    with events(site.admin, f"/api/v1/executions/stream?execution_id={one}") as viewer:
        cut = site.deployment.one(
            "SELECT count(pg_terminate_backend(pid))::int AS n FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            " AND application_name LIKE 'attune-server%%'"
        )
        assert cut["n"]
        turn(site, one, "failed")
        while json.loads(viewer.next().data)["status"] != "failed":
            pass


def test_a_constrained_grant_and_a_token_of_an_action_see_no_more_than_they_may(site: Site) -> None:
    ref = site.permission_set([{"resource": "executions", "actions": ["read"], "constraints": {"pack_refs": ["mine"]}}])
    own = site.permission_set([{"resource": "executions", "actions": ["read"], "constraints": {"owner": "self"}}])
    _, packed = site.person(ref)
    login, owner = site.person(own)
    identity = site.deployment.one("SELECT id FROM identity WHERE login = %s", [login])["id"]
    with events(packed, "/api/v1/executions/stream") as by_pack, events(owner, "/api/v1/executions/stream") as by_owner:
        made(site, "requested", "other.x")
        mine = made(site, "requested", "mine.x")
        owned = made(site, "requested", "other.y", identity)
        assert json.loads(by_pack.next().data)["id"] == mine
        assert json.loads(by_owner.next().data)["id"] == owned
    foreign = made(site, "running", "other.x")
    assert packed.get(f"/api/v1/executions/stream?execution_id={foreign}").status_code == 403
    assert packed.get(log_path(foreign)).status_code == 403
    action = token("execution", execution_id=mine, permission_set_refs=[])
    client = site.admin.as_(action)
    assert client.get("/api/v1/executions/stream").status_code == 403
    assert client.get(f"/api/v1/executions/stream?execution_id={foreign}").status_code == 403
    assert client.get(log_path(foreign)).status_code == 403
    with events(client, f"/api/v1/executions/stream?execution_id={mine}") as viewer:
        turn(site, mine, "failed")
        assert json.loads(viewer.next().data)["status"] == "failed"


def token(kind: str, *, life: float = 600, **metadata: object) -> str:
    claims = Claims("1", f"{kind}:1", kind, time.time() + life, metadata=metadata)
    return mint(claims, secret=JWT_SECRET, now=time.time())


# --- logs ---


def test_a_log_is_followed_from_any_byte_to_its_end(site: Site) -> None:
    one = made(site)
    with events(site.admin, log_path(one)) as viewer, events(site.admin, log_path(one, offset=4)) as later:
        assert viewer.next().name == "waiting"
        append(log_of(site, one), b"one\ntwo\n")
        first = viewer.next()
        assert (first.name in ("content", "append"), first.data, first.id) == (True, "one\ntwo\n", "8")
        assert later.next("append" if "initial-catchup-complete" in later.comments else None).data != ""
        append(log_of(site, one), b"three\n")
        second = viewer.next()
        assert (second.name, second.data, second.id) == ("append", "three\n", "14")
        append(log_of(site, one), b"end")
        turn(site, one, "completed")
        assert viewer.next().data == "end"
        done = viewer.next()
        assert (done.name, done.data, done.id) == ("done", "Execution complete", "17")
    with events(site.admin, log_path(one), Last_Event_ID="8") as again:
        assert again.text() == "three\nend"
    with events(site.admin, log_path(one, offset=14, encoding="json")) as again:
        assert json.loads(again.next("content").data) == "end"


def test_an_execution_that_wrote_nothing_is_done_at_once(site: Site) -> None:
    one = made(site, "completed")
    with events(site.admin, log_path(one, "stderr")) as viewer:
        assert [(event.name, event.data) for event in viewer] == [("done", "")]
    assert site.admin.get(log_path(one, "stdin")).status_code == 400
    assert site.admin.get(log_path(987654321)).status_code == 404


def test_half_a_character_waits_for_its_rest_wherever_it_is_cut(site: Site) -> None:
    text = "a€𝄞é\r\nß"
    data = text.encode()
    one = made(site)
    path = log_of(site, one)
    with events(site.admin, log_path(one, encoding="json")) as viewer:
        assert viewer.next().name == "waiting"
        got, cut = "", 0
        for at in range(len(data)):
            append(path, data[at : at + 1])
            whole = data[: at + 1].decode("utf-8", "ignore")
            while len(got) < len(whole):
                event = viewer.next()
                got, cut = got + json.loads(event.data), int(event.id)
                assert got == data[:cut].decode()
        append(path, b"\xe2\x82")  # and no rest
        turn(site, one, "failed")
        assert json.loads(viewer.next().data) == "\N{REPLACEMENT CHARACTER}"
        assert viewer.next().name == "done"
    for at in range(1, len(data)):  # a log that ends there for now
        half = made(site)
        append(log_of(site, half), data[:at])
        with events(site.admin, log_path(half, encoding="json", follow="false")) as viewer:
            seen = "".join(json.loads(event.data) for event in viewer if event.name == "content")
            assert (seen, int(viewer.id)) == (data[:at].decode("utf-8", "ignore"), len(seen.encode()))
    for at in range(len(data)):  # from any byte on, too
        with events(site.admin, log_path(one, offset=at, encoding="json")) as viewer:
            rest = "".join(json.loads(event.data) for event in viewer if event.name in ("content", "append"))
            assert rest == (data[at:] + b"\xe2\x82").decode("utf-8", "replace")


def test_bytes_are_exact_where_they_are_asked_for(site: Site) -> None:
    import base64

    one = made(site, "completed")
    data = bytes(range(256)) * 1000
    append(log_of(site, one), data)
    with events(site.admin, log_path(one, encoding="base64")) as viewer:
        assert b"".join(base64.b64decode(event.data) for event in viewer if event.name == "content") == data


@pytest.mark.parametrize("how", ["truncated", "replaced"])
def test_a_log_that_is_another_one_now_is_told_from_its_beginning(site: Site, how: str) -> None:
    one = made(site)
    path = log_of(site, one)
    path.write_bytes(b"the first life\n")
    with events(site.admin, log_path(one)) as viewer:
        assert viewer.next("content").data == "the first life\n"
        if how == "truncated":
            os.truncate(path, 0)
            until(lambda: viewer_reset(viewer), "the reset")
            append(path, b"again\n")
        else:
            other = path.with_name("other")
            other.write_bytes(b"a second life, longer\n")
            os.replace(other, path)
            assert viewer_reset(viewer)
        event = viewer.next()
        assert event.data == ("again\n" if how == "truncated" else "a second life, longer\n")


def viewer_reset(viewer: Events) -> bool:
    event = viewer.next("reset")
    return event.id == "0"


def test_a_log_that_got_its_final_name_goes_on_where_it_was(site: Site) -> None:
    one = made(site)
    path = log_of(site, one)
    path.write_bytes(b"one\n")
    with events(site.admin, log_path(one)) as viewer:
        assert viewer.next("content").data == "one\n"
        final = site.deployment.artifacts / "live" / "v1.txt"
        final.parent.mkdir(exist_ok=True)
        final.write_bytes(b"one\ntwo\n")  # a copy, where a volume has no hard links
        artifact = site.deployment.one(
            "INSERT INTO artifact (ref, type, scope, owner) VALUES ('live.none.stdout.log', 'file_text', 'action',"
            " 'live.none') RETURNING id"
        )["id"]
        site.deployment.database.execute(
            "INSERT INTO artifact_version (artifact, version, execution, file_path, size_bytes, meta)"
            " VALUES (%s, 1, %s, 'live/v1.txt', 8, '{\"stream\": \"stdout\"}')",
            [artifact, one],
        )
        turn(site, one, "completed")
        assert [(event.name, event.data) for event in viewer] == [("append", "two\n"), ("done", "Execution complete")]


def test_a_log_of_ten_gigabytes_is_read_where_one_looks(site: Site) -> None:
    one = made(site)
    path = log_of(site, one)
    size = 10 * 1024**3
    with path.open("wb") as file:
        file.seek(size - 5)
        file.write(b"tail\n")
    before = resident(site)
    with events(site.admin, log_path(one, offset=size - 5)) as viewer:
        assert viewer.next("content").data == "tail\n"
        with events(site.admin, log_path(one, encoding="json")) as whole:
            assert [whole.next("content").id for _ in range(20)][-1] == str(20 * 65536)
        append(path, b"more\n")
        assert viewer.next("append").data == "more\n"
    assert resident(site) - before < 64 * 1024 * 1024
    path.unlink()


def resident(site: Site) -> int:
    for line in Path(f"/proc/{site.server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_what_a_job_puts_in_place_of_its_log_is_not_read(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for you")
    for number, put in enumerate((lambda at: at.symlink_to(secret), lambda at: os.mkfifo(at), lambda at: at.mkdir())):
        one = made(site, "completed")
        put(log_of(site, one))
        with events(site.admin, log_path(one)) as viewer:
            assert viewer.text() == "", number
    one = made(site, "completed")
    log_of(site, one).parent.rmdir()
    (site.deployment.artifacts / f"execution_{one}").symlink_to(tmp_path)
    (tmp_path / "stdout.log").write_text("not for you")
    with events(site.admin, log_path(one)) as viewer:
        assert viewer.text() == ""


def test_a_viewer_who_does_not_read_costs_nothing_and_one_who_leaves_is_forgotten(site: Site) -> None:
    one = made(site)
    path = log_of(site, one)
    path.write_bytes(b"x" * 50_000_000)
    with slow(site, log_path(one)), events(site.admin, log_path(one, offset=50_000_000)) as quick:
        before = resident(site)
        for number in range(20):
            append(path, f"line {number}\n".encode())
            event = quick.next("append")
            while not event.data.endswith(f"line {number}\n"):
                event = quick.next("append")
        assert resident(site) - before < 16 * 1024 * 1024
    path.unlink()
    fds = Path(f"/proc/{site.server.process.pid}/fd")
    until(lambda: "socket" and len(list(fds.iterdir())) < 60, "closing what nobody follows")


@contextlib.contextmanager
def slow(site: Site, path: str) -> Iterator[socket.socket]:
    """Ask for a stream and never read it."""
    with socket.socket() as made_socket:
        made_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made_socket.connect(("127.0.0.1", site.server.port))
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.admin.token}\r\n\r\n"
        made_socket.sendall(request.encode())
        yield made_socket


def test_a_follower_who_reads_too_slowly_is_told_to_come_again(site: Site) -> None:
    """Its socket is full, then its buffer; the others hear of everything."""
    with slow(site, "/api/v1/executions/stream") as stuck, events(site.admin, "/api/v1/executions/stream") as quick:
        for _ in range(10):
            site.deployment.database.execute(
                "INSERT INTO execution (action_ref, status) SELECT 'live.flood' || repeat('x', 3000), 'completed'"
                " FROM generate_series(1, 400)"
            )
            for _ in range(400):
                quick.next()
        received, stuck_end = b"", time.monotonic() + 30
        stuck.settimeout(30)
        while not received.endswith(b"0\r\n\r\n") and time.monotonic() < stuck_end:
            received += stuck.recv(1 << 20)
        assert b"event: lagged" in received
        last = int(received.rpartition(b"\nid: ")[2].split(b"\n")[0])
        assert last > 0
    site.deployment.database.execute("DELETE FROM execution WHERE action_ref LIKE 'live.flood%%'")


# --- ends ---


def test_a_token_that_runs_out_ends_its_streams(site: Site) -> None:
    one = made(site)
    soon = token("execution", life=1 - LEEWAY, execution_id=one, permission_set_refs=[])
    with events(site.admin.as_(soon), log_path(one)) as viewer:
        assert viewer.next("unauthorized").data == "Authentication token expired"
        assert list(viewer) == []


def test_an_account_that_is_frozen_or_loses_a_permission_sees_no_more(site: Site) -> None:
    login, client = site.person("core.viewer")
    other, loser = site.person("core.viewer")
    given = "SELECT a.id FROM permission_assignment a JOIN identity i ON i.id = a.identity WHERE i.login = %s"
    assignment = site.deployment.one(given, [other])["id"]
    identity = site.deployment.one("SELECT id FROM identity WHERE login = %s", [login])["id"]
    page = f"attune_access_token={client.token}"
    with (
        events(client, "/api/v1/executions/stream") as viewer,
        events(loser, "/api/v1/executions/stream") as follower,
        events(client.as_(None), f"/executions/{made(site)}/live", Cookie=page) as reader,
    ):
        site.admin.ok("POST", f"/api/v1/identities/{identity}/freeze")
        site.admin.ok("DELETE", f"/api/v1/permissions/assignments/{assignment}")
        assert "frozen" in viewer.next("unauthorized").data
        assert "frozen" in reader.next("unauthorized").data
        list(follower)  # to its end
        assert loser.get("/api/v1/executions/stream").status_code == 403


def test_more_streams_than_an_account_may_have_are_refused(site: Site) -> None:
    server = site.another_server(ATTUNE__SERVER__STREAMS_PER_IDENTITY="3")
    client = ApiClient(server.url, site.admin.token, site.admin.http)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(events(client, "/api/v1/executions/stream"))
        refused = client.get("/api/v1/executions/stream")
        assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        page = {"Cookie": f"attune_access_token={client.token}"}
        assert client.as_(None).get(f"/executions/{made(site)}/live", headers=page).status_code == 429
    until(lambda: allowed(client), "the place of one who left")
    assert server.stop() == 0


def allowed(client: ApiClient) -> bool:
    try:
        with events(client, "/api/v1/executions/stream"):
            return True
    except AssertionError:
        return False


def test_a_server_that_restarts_in_the_middle_of_fifty_streams_loses_no_byte(request: pytest.FixtureRequest) -> None:
    with running_deployment(request, "database") as deployment:
        site = open_site(deployment)
        try:
            one = made(site)
            path = log_of(site, one)
            path.write_bytes(b"")
            texts = [""] * 50
            ended = [threading.Event() for _ in texts]

            def follow(number: int) -> None:
                place = "0"
                while not ended[number].is_set():
                    client = ApiClient(site.servers[-1].url, site.admin.token, site.admin.http)
                    with contextlib.suppress(Exception), events(client, log_path(one), Last_Event_ID=place) as viewer:
                        for event in viewer:
                            if event.name == "done":
                                ended[number].set()
                            elif event.name in ("content", "append"):
                                texts[number] += event.data
                                place = event.id
                    ended[number].wait(0.2)  # as a browser does before it asks again

            threads = [threading.Thread(target=follow, args=(number,)) for number in range(50)]
            for thread in threads:
                thread.start()
            expected = ""
            for number in range(60):
                expected += f"line {number} ä€\n"
                append(path, f"line {number} ä€\n".encode())
                if number in (20, 40):
                    until(lambda: all(len(text) > 100 for text in texts), "all to follow")
                    old = site.servers[-1]
                    if number == 20:
                        old.stop()
                    else:
                        old.kill()
                    site.another_server()
            turn(site, one, "completed")
            for thread in threads:
                thread.join(180)
            assert [text == expected for text in texts] == [True] * 50
        finally:
            close_site(site)
