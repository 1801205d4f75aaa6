"""Events wait for the server in order, and a rule's list is followed page by page."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

from agent.errors import ServerError, ServerUnavailable
from agent.timers.follower import Follower
from agent.timers.sensor_token import SensorToken
from agent.timers.waiting_events import WaitingEvents


def test_events_are_sent_in_order_and_what_is_refused_holds_up_none() -> None:
    sent: list[str] = []
    answers: dict[str, list[Exception]] = {"b": [ServerUnavailable("away")], "c": [ServerError("no", status=422)]}

    def post(_path: str, _body: bytes, headers: dict[str, str]) -> None:
        key = headers["Idempotency-Key"]
        if answers.get(key):
            raise answers[key].pop()
        sent.append(key)
        if key == "d":
            events.stop()

    events = WaitingEvents(post)
    for key in "abcd":
        events.add(key, {})
    events.run()
    assert sent == ["a", "b", "d"]


def test_the_oldest_events_go_when_too_many_wait() -> None:
    sent: list[str] = []
    events = WaitingEvents(lambda _path, _body, headers: sent.append(headers["Idempotency-Key"]), limit=3)
    for key in "abcde":
        events.add(key, {})
    assert (len(events), events.dropped) == (3, 2)
    events.stop()
    events.run()
    assert sent == ["c", "d", "e"]


def test_an_event_waits_for_another_token_when_its_own_is_refused() -> None:
    def post(_path: str, _body: bytes, _headers: dict[str, str]) -> None:
        events.stop()
        raise ServerError("expired", status=401)

    events = WaitingEvents(post)
    events.add("a", {})
    events.run()
    assert len(events) == 1


@dataclass
class Reply:
    body: bytes


def test_all_pages_are_read_and_the_next_question_names_the_version() -> None:
    asked: list[str] = []
    told: list[Any] = []

    def get(path: str) -> Reply:
        asked.append(path)
        count = 100 if "page=1&" in path else 5
        if "version=" in path:
            follower.stop()
        return Reply(json.dumps({"items": [{"id": 1}] * count, "version": "v1"}).encode())

    follower = Follower("core.intervaltimer", get, lambda _trigger, rules: told.append(rules))
    follower.run()
    assert [len(rules) for rules in told] == [105]
    assert "wait=25&version=v1" in asked[2]


def test_a_server_that_is_away_or_answers_nonsense_changes_no_rule() -> None:
    answers: list[Any] = [Reply(b"[]"), Reply(b"{"), ServerUnavailable("away")]
    told: list[Any] = []
    waits = threading.Event()

    def get(_path: str) -> Reply:
        if not answers:
            follower.stop()
            raise ServerUnavailable("away")
        answer = answers.pop()
        waits.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    follower = Follower("core.crontimer", get, lambda _trigger, rules: told.append(rules))
    follower._stop.wait = lambda _seconds=None: follower._stop.is_set()  # type: ignore[method-assign]
    follower.run()
    assert told == []
    assert waits.is_set()


def test_a_token_that_was_refused_is_over() -> None:
    token = SensorToken("first", lambda _token: b"")
    token.refused("another")
    assert not token.over.is_set()
    token.refused(token())
    assert token.over.is_set()


def test_a_token_is_exchanged_at_four_fifths_of_its_life() -> None:
    shown: list[str] = []
    now = [0.0]

    def exchange(token: str) -> bytes:
        shown.append(token)
        return json.dumps({"data": {"token": "second"}}).encode()

    first = "e30.eyJpYXQiOjAsImV4cCI6MTAwfQ.x"  # {"iat":0,"exp":100}
    token = SensorToken(first, exchange, clock=lambda: now[0])
    now[0] = 79.0
    assert token() == first
    now[0] = 80.0
    assert token() == "second"
    assert shown == [first]
