"""Stored secrets on their way into an action, and what it writes about them on its way out."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg.types.json import Jsonb

from tests.services.agent_process import AgentProcess
from tests.services.deployment import ENCRYPTION_KEY, Deployment, Execution

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

MARKER = {"$attune_secret": True, "redacted": True}
PASSWORD = "correct horse/battery+staple"
ANOTHER_KEY = "a key that this agent was never given"


def encrypt(value: Any, key: str = ENCRYPTION_KEY) -> str:
    """Encrypt as the API does."""
    nonce = os.urandom(12)
    encrypted = AESGCM(hashlib.sha256(key.encode()).digest()).encrypt(nonce, json.dumps(value).encode(), None)
    return base64.b64encode(nonce + encrypted).decode()


def decrypt(value: str, key: str = ENCRYPTION_KEY) -> Any:
    """Decrypt as the API does."""
    encrypted = base64.b64decode(value)
    return json.loads(AESGCM(hashlib.sha256(key.encode()).digest()).decrypt(encrypted[:12], encrypted[12:], None))


class Keys:
    """Writes rows of ``key`` as the API does, for one test."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._ids: list[int] = []

    def add(self, name: str, value: Any, *, owner: str = "system", key: str | None = ENCRYPTION_KEY) -> None:
        """Store a secret for the system, a pack, or an action; without ``key`` it isn't encrypted."""
        values: dict[str, Any] = {"name": name, "ref": f"{owner}.{name}".lower(), "encrypted": key is not None}
        values |= {"owner_type": "system" if owner == "system" else "action" if "." in owner else "pack"}
        if owner != "system":
            kind = values["owner_type"]
            values[f"owner_{kind}"] = self._deployment.one(f"SELECT id FROM {kind} WHERE ref = %s", [owner])["id"]
            values[f"owner_{kind}_ref"] = owner
        if key is not None:
            value = encrypt(value, key)
            values["encryption_key_hash"] = hashlib.sha256(key.encode()).hexdigest()
        self._ids.append(self._deployment.insert("key", values | {"value": Jsonb(value)}))

    def remove(self) -> None:
        """Remove all that was added."""
        self._deployment.database.execute("DELETE FROM key WHERE id = ANY(%s)", [self._ids])


@pytest.fixture
def keys(deployment: Deployment) -> Iterator[Keys]:
    """Stored secrets of this test."""
    deployment.add_pack("vault")
    stored = Keys(deployment)
    yield stored
    stored.remove()


@pytest.fixture
def action(deployment: Deployment) -> Callable[..., str]:
    """Register an action whose ref nobody else uses; return the ref."""

    def register(script: str, **columns: Any) -> str:
        ref = f"vault.action_{len(deployment.all('SELECT 1 FROM action'))}"
        deployment.add_action(ref, script, **columns)
        return ref

    return register


#: Tells which parameters it got, without any of their values.
NAMES = "tr ',{' '\\n\\n' | sed -n 's/^\"\\([a-z_]*\\)\":.*/\\1/p' | sort | tr '\\n' ' '\n"


def sha(text: str) -> str:
    """What an action may print of a secret without betraying it."""
    return hashlib.sha256(text.encode()).hexdigest()


def of_parameter(name: str) -> str:
    """Script that prints the hash of one text among its parameters (of compact JSON)."""
    return f"""sed -n 's/.*"{name}":"\\([^"]*\\)".*/\\1/p' | tr -d '\\n' | sha256sum | cut -d' ' -f1\n"""


# --- what arrives ---


def test_keys_of_system_pack_and_action_arrive_and_the_nearest_wins(
    deployment: Deployment, keys: Keys, action: Callable[..., str]
) -> None:
    ref = action("sha256sum\n")
    for owner in ("system", "vault", ref):
        keys.add("shared", f"shared of {owner}", owner=owner)
    keys.add("of_system", "system value")
    keys.add("of_pack", "pack value", owner="vault")
    keys.add("of_action", "action value", owner=ref)
    keys.add("both", "of the system")
    keys.add("both", "of the pack", owner="vault")
    expected = {
        "both": "of the pack",
        "of_action": "action value",
        "of_pack": "pack value",
        "of_system": "system value",
        "shared": f"shared of {ref}",
    }
    done = deployment.run(action(f"cat > {deployment.directory}/seen\n"))
    assert set(json.loads((deployment.directory / "seen").read_text())) == {"both", "of_pack", "of_system", "shared"}
    deployment.write("vault", f"actions/{ref.partition('.')[2]}.sh", f"cat > {deployment.directory}/seen\n")
    done = deployment.run(ref)
    assert done.status == "completed"
    assert json.loads((deployment.directory / "seen").read_text()) == expected


def test_keys_of_other_packs_and_of_people_stay_away(
    deployment: Deployment, keys: Keys, action: Callable[..., str]
) -> None:
    deployment.add_action("elsewhere.action", ":\n")
    keys.add("of_other_pack", "value", owner="elsewhere")
    keys.add("of_other_action", "value", owner="elsewhere.action")
    identity = deployment.one("INSERT INTO identity (login) VALUES ('owner of keys') RETURNING id")["id"]
    deployment.insert(
        "key",
        {
            "ref": "identity.mine",
            "owner_type": "identity",
            "owner_identity": identity,
            "name": "of_identity",
            "encrypted": False,
            "value": Jsonb("value"),
        },
    )
    assert deployment.run(action(NAMES)).result.get("stdout", "").split() == []


def test_any_json_can_be_a_secret(deployment: Deployment, keys: Keys, action: Callable[..., str]) -> None:
    values = {"text": "ä", "object": {"user": "jo", "ports": [1, 2]}, "number": 12345678, "nothing": None}
    for name, value in values.items():
        keys.add(name, value, owner="vault")
    deployment.run(action(f"cat > {deployment.directory}/any\n"))
    assert json.loads((deployment.directory / "any").read_text()) == values


def test_a_key_that_is_not_encrypted_is_used_as_it_is(
    deployment: Deployment, keys: Keys, action: Callable[..., str]
) -> None:
    keys.add("region", "eu-west", key=None, owner="vault")
    assert json.loads(deployment.run(action("cat\n")).result["stdout"]) == {"region": "eu-west"}


def test_a_key_wins_over_a_parameter_of_its_name(
    deployment: Deployment, keys: Keys, action: Callable[..., str]
) -> None:
    keys.add("password", PASSWORD.replace("/", "_"), owner="vault")
    done = deployment.run(action(of_parameter("password")), {"password": "of the caller"})
    assert done.result["stdout"].strip() == sha(PASSWORD.replace("/", "_"))


def test_secrets_are_neither_in_the_environment_nor_on_the_command_line(
    deployment: Deployment, keys: Keys, action: Callable[..., str]
) -> None:
    keys.add("password", "hunter2222", owner="vault")
    deployment.run(action(f"cat /proc/$$/environ /proc/$$/cmdline > {deployment.directory}/visible\n"))
    visible = (deployment.directory / "visible").read_bytes()
    assert b"ATTUNE_EXEC_ID" in visible
    assert b"hunter2222" not in visible
    assert b"password" not in visible


def test_an_inline_script_gets_secrets_as_variables_that_it_does_not_export(deployment: Deployment, keys: Keys) -> None:
    keys.add("api-key", "hunter2222", owner="vault")
    script = "printf %s \"$api_key\" | sha256sum | cut -d' ' -f1; env | grep -c hunter || true"
    deployment.add_action("vault.inline", None, entrypoint=script, is_adhoc=True)
    done = deployment.run("vault.inline")
    assert done.result["stdout"].split() == [sha("hunter2222"), "0"]


# --- parameters that were redacted when the execution was asked for ---


def cut_out(deployment: Deployment, execution_id: int, path: str, value: Any, key: str = ENCRYPTION_KEY) -> None:
    """Store what the API cut out of the parameters."""
    deployment.insert(
        "execution_secret_value",
        {
            "entity_type": "execution_config",
            "entity_id": execution_id,
            "json_path": path,
            "source_kind": "parameter_schema",
            "source_ref": path,
            "encrypted_value": Jsonb(encrypt(value, key)),
            "encryption_key_hash": hashlib.sha256(key.encode()).hexdigest(),
        },
    )


def test_redacted_parameters_are_restored_for_the_action_alone(
    deployment: Deployment, action: Callable[..., str]
) -> None:
    config = {"user": "jo", "login": {"password": MARKER, "a/b": [MARKER]}}
    execution_id = deployment.schedule(action(f"tee {deployment.directory}/restored\n"), config)
    cut_out(deployment, execution_id, "/login/password", PASSWORD)
    cut_out(deployment, execution_id, "/login/a~1b/0", "second secret")
    deployment.dispatch(execution_id)
    done = deployment.wait(execution_id)
    restored = json.loads((deployment.directory / "restored").read_text())
    assert restored == {"user": "jo", "login": {"password": PASSWORD, "a/b": ["second secret"]}}
    assert json.loads(done.result["stdout"]) == {"user": "jo", "login": {"password": "***", "a/b": ["***"]}}
    assert done.config == config


def test_a_redacted_parameter_that_cannot_be_restored_fails_the_execution(
    deployment: Deployment, action: Callable[..., str]
) -> None:
    execution_id = deployment.schedule(action("cat\n"), {"password": MARKER})
    cut_out(deployment, execution_id, "/password", PASSWORD, key=ANOTHER_KEY)
    deployment.dispatch(execution_id)
    done = deployment.wait(execution_id)
    assert (done.status, done.result["cause"]) == ("failed", "secret_unavailable")
    assert "'/password'" in done.result["error"]


# --- closed when something is wrong (promise: secrets fail closed) ---


@pytest.mark.parametrize("owner", ["vault", "the action"])
def test_a_key_of_pack_or_action_under_another_encryption_key_fails_the_execution(
    deployment: Deployment, keys: Keys, action: Callable[..., str], owner: str
) -> None:
    ref = action("echo ran\n")
    keys.add("stale", PASSWORD, owner=ref if owner == "the action" else owner, key=ANOTHER_KEY)
    done = deployment.run(ref)
    assert (done.status, done.result["cause"]) == ("failed", "secret_unavailable")
    assert "stale' can't be decrypted" in done.result["error"]
    assert "stdout" not in done.result


def test_a_damaged_key_fails_the_execution(deployment: Deployment, keys: Keys, action: Callable[..., str]) -> None:
    keys.add("damaged", PASSWORD, owner="vault")
    deployment.database.execute(
        "UPDATE key SET value = to_jsonb(overlay(value #>> '{}' PLACING 'AAAA' FROM 30)) WHERE ref = 'vault.damaged'"
    )
    done = deployment.run(action("echo ran\n"))
    assert (done.status, done.result["cause"]) == ("failed", "secret_unavailable")


def test_a_stale_key_of_the_system_is_left_out_with_a_warning(
    deployment: Deployment, keys: Keys, action: Callable[..., str]
) -> None:
    keys.add("stale_of_system", PASSWORD, key=ANOTHER_KEY)
    done = deployment.run(action("cat\n"))
    assert (done.status, done.result["stdout"]) == ("completed", "{}\n")
    assert "stale_of_system" in deployment.agent.log()


def test_a_stale_key_of_the_system_that_the_schema_names_fails_the_execution(
    deployment: Deployment, keys: Keys, action: Callable[..., str]
) -> None:
    keys.add("wanted", PASSWORD, key=ANOTHER_KEY)
    done = deployment.run(action("cat\n", param_schema={"wanted": {"type": "string"}}))
    assert (done.status, done.result["cause"]) == ("failed", "secret_unavailable")


@pytest.fixture(scope="module")
def keyless(deployment: Deployment) -> Iterator[AgentProcess]:
    """An agent that was given no encryption key."""
    with deployment.another_agent("keyless", ATTUNE__SECURITY__ENCRYPTION_KEY="") as agent:
        yield agent


def test_an_agent_without_the_key_runs_only_what_needs_no_secret(
    deployment: Deployment, keys: Keys, action: Callable[..., str], keyless: AgentProcess
) -> None:
    ref = action("echo ran\n")
    assert deployment.run(ref, worker=keyless.worker_id).status == "completed"
    keys.add("needed", PASSWORD, owner="vault")
    done = deployment.run(ref, worker=keyless.worker_id)
    assert (done.status, done.result["cause"]) == ("failed", "secret_unavailable")
    assert "security.encryption_key is not set" in done.result["error"]


# --- masked wherever it is written ---


@pytest.fixture
def password(keys: Keys) -> str:
    """A secret of the pack."""
    keys.add("password", PASSWORD, owner="vault")
    return PASSWORD


def written(deployment: Deployment, done: Execution) -> str:
    """All that an execution has left behind: row, messages, files."""
    messages = [message.body.decode() for message in deployment.messages(done.id)]
    live = deployment.artifacts / f"execution_{done.id}"
    files = [path.read_text() for path in sorted(live.iterdir())]
    files += [path.read_text() for path in (deployment.artifacts / done.action_ref.replace(".", "/")).rglob("*.txt")]
    return "\n".join([json.dumps(done.result, ensure_ascii=False), *messages, *files])


@pytest.mark.parametrize(
    "form",
    [
        "cat",
        "sed 's/.*\"password\":\"//; s/\".*//' | tr -d '\\n' | base64 -w0",
        "sed 's/.*\"password\":\"//; s/\".*//' | tr -d '\\n' | base64 -w0 | tr '+/' '-_'",
        'sed \'s/.*"password":"//; s/".*//; s/ /%20/g; s:/:%2F:g; s/+/%2B/g\'',
    ],
)
def test_what_an_action_prints_of_a_secret_is_masked(
    deployment: Deployment, action: Callable[..., str], password: str, form: str
) -> None:
    done = deployment.run(action(f"{{ {form}; }} | tee /dev/stderr; exit 1\n"))
    everything = written(deployment, done)
    assert "***" in done.result["stdout"]
    assert "***" in done.result["error"]
    for betraying in ("correct", "horse", "battery", base64.b64encode(password.encode()).decode()[:12]):
        assert betraying not in everything


def test_a_secret_that_is_written_in_pieces_is_masked(
    deployment: Deployment, action: Callable[..., str], password: str
) -> None:
    script = "printf 'it is corr'; sleep 0.1; printf 'ect horse/bat'; sleep 0.1; printf 'tery+staple.'\n"
    done = deployment.run(action(script))
    assert done.result["stdout"] == "it is ***."
    assert (deployment.artifacts / f"execution_{done.id}" / "stdout.log").read_text() == "it is ***."


def test_secrets_in_parsed_data_are_masked_in_row_message_and_file(
    deployment: Deployment, action: Callable[..., str], password: str
) -> None:
    script = f"""echo '{{"used": "{password}", "{password}": [1, "x{password}y"], "plain": 1}}'\n"""
    done = deployment.run(action(script, output_format="json"))
    assert done.result["data"] == {"used": "***", "***": [1, "x***y"], "plain": 1}
    assert (
        json.loads((deployment.artifacts / f"execution_{done.id}" / "result.json").read_text()) == done.result["data"]
    )
    assert password not in written(deployment, done)


def test_half_a_secret_at_the_end_of_a_cut_stream_is_masked(
    deployment: Deployment, action: Callable[..., str], password: str
) -> None:
    with deployment.another_agent("small", ATTUNE__WORKER__MAX_STDOUT_BYTES="168") as agent:
        # 40 bytes are kept: 20 of filling and 20 of the secret.
        script = f"printf '%s' '{'x' * 20}{password} and more'; exit 1\n"
        done = deployment.run(action(script), worker=agent.worker_id)
    mark = "\n\n[OUTPUT TRUNCATED: stdout exceeded size limit]\n"
    assert done.result["stdout"] == "x" * 20 + "***" + mark
    assert (deployment.artifacts / f"execution_{done.id}" / "stdout.log").read_text() == "x" * 20 + "***" + mark


def test_an_execution_that_cannot_be_prepared_betrays_nothing(
    deployment: Deployment, action: Callable[..., str], password: str
) -> None:
    done = deployment.run(action(":\n", parameter_format="dotenv"), {f"name of {password}": 1})
    assert (done.status, done.result["cause"]) == ("failed", "invalid")
    assert "'name of ***'" in done.result["error"]


def test_a_parameter_that_the_schema_declares_secret_is_masked(
    deployment: Deployment, action: Callable[..., str]
) -> None:
    ref = action("cat\n", param_schema={"pin": {"type": "string", "secret": True}})
    assert json.loads(deployment.run(ref, {"pin": "99-88-77"}).result["stdout"]) == {"pin": "***"}


def test_the_agents_own_log_holds_no_secret(deployment: Deployment, action: Callable[..., str], password: str) -> None:
    deployment.run(action("cat; exit 1\n"))
    log = deployment.agent.log()
    assert password not in log
    assert ENCRYPTION_KEY not in log


# --- declared secrets in results ---

OUT_SCHEMA = {
    "user": {"type": "string"},
    "token": {"type": "string", "secret": True},
    "login": {"type": "object", "properties": {"password": {"secret": True}, "host": {"type": "string"}}},
}
OUTPUT = {"user": "jo", "token": "t0k3n-of-jo", "login": {"password": {"old": "a1b2", "new": "c3d4"}, "host": "db1"}}


def test_declared_secrets_of_a_result_are_stored_apart_and_encrypted(
    deployment: Deployment, action: Callable[..., str]
) -> None:
    ref = action(f"echo '{json.dumps(OUTPUT)}'\n", output_format="json", out_schema=OUT_SCHEMA)
    done = deployment.run(ref)
    assert done.result["data"] == {"user": "jo", "token": MARKER, "login": {"password": MARKER, "host": "db1"}}
    rows = deployment.all(
        "SELECT entity_type, json_path, source_kind, source_ref, encrypted_value, encryption_key_hash"
        "  FROM execution_secret_value WHERE entity_id = %s ORDER BY json_path",
        [done.id],
    )
    assert [row["json_path"] for row in rows] == ["/data/login/password", "/data/token"]
    assert [row["source_ref"] for row in rows] == ["/login/password", "/token"]
    assert {(row["entity_type"], row["source_kind"]) for row in rows} == {("execution_result", "parameter_schema")}
    assert {row["encryption_key_hash"] for row in rows} == {hashlib.sha256(ENCRYPTION_KEY.encode()).hexdigest()}
    assert [decrypt(row["encrypted_value"]) for row in rows] == [OUTPUT["login"]["password"], "t0k3n-of-jo"]  # type: ignore[index]


def test_declared_secrets_are_neither_in_the_message_nor_in_the_result_file(
    deployment: Deployment, action: Callable[..., str]
) -> None:
    ref = action(f"echo '{json.dumps(OUTPUT)}'\n", output_format="json", out_schema=OUT_SCHEMA)
    done = deployment.run(ref)
    completed = deployment.messages(done.id)[-1]
    assert completed.payload["result"] == done.result
    file = deployment.artifacts / f"execution_{done.id}" / "result.json"
    assert json.loads(file.read_text()) == done.result["data"]
    assert b"t0k3n-of-jo" not in completed.body


def test_a_result_whose_secrets_cannot_be_encrypted_fails_the_execution(
    deployment: Deployment, action: Callable[..., str], keyless: AgentProcess
) -> None:
    ref = action(f"echo '{json.dumps(OUTPUT)}'\n", output_format="json", out_schema=OUT_SCHEMA)
    done = deployment.run(ref, worker=keyless.worker_id)
    assert (done.status, done.result["cause"]) == ("failed", "secret_unavailable")
    assert "t0k3n-of-jo" not in json.dumps(done.result)
