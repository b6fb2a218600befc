"""TURN users that expire."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from http_fakes import running, settings_for
from vivace.serve.rtc import make_peer_factory
from vivace.serve.settings import ServeSettings
from vivace.serve.turn import ice_servers, turn_password

SERVERS = [{"urls": "stun:s.example"}, {"urls": "turn:t.example"}, {"urls": "turn:u.example", "username": "fixed"}]


def test_a_password_is_what_the_turn_server_works_out() -> None:
    user = "1700000000:vivace"
    by_openssl = "xSM1UtbsjnDY9Xy497Rkv9t6E4A="  # dgst -sha1 -hmac north -binary | base64
    assert turn_password("north", user) == by_openssl


def test_only_turn_servers_without_a_user_are_given_one() -> None:
    settings = ServeSettings(ice_servers=SERVERS, turn_secret="north", turn_expires_s=60)
    stun, turn, fixed = ice_servers(settings, 1000.5, "ada")
    assert (stun.username, fixed.username) == (None, "fixed")
    assert turn.username == "1060:ada"
    assert turn.credential is not None
    assert turn.credential.get_secret_value() == turn_password("north", "1060:ada")


def test_without_a_secret_the_servers_are_as_they_were_set() -> None:
    settings = ServeSettings(ice_servers=SERVERS)
    assert ice_servers(settings, 0.0) == settings.ice_servers


def test_a_secret_that_no_server_needs_is_refused() -> None:
    with pytest.raises(ValidationError, match="turn_secret makes users of TURN servers, and ice_servers names none"):
        ServeSettings(ice_servers=[SERVERS[0], SERVERS[2]], turn_secret="north")


def test_clients_and_the_server_itself_get_users_that_expire() -> None:
    settings = settings_for(ice_servers=SERVERS[1:2], turn_secret="north")
    with running(settings) as server:
        (told,) = server.open()["ice_servers"]
        assert told["credential"] == turn_password("north", told["username"])
    (own,) = make_peer_factory(settings).ice_servers()
    assert own.credential == turn_password("north", own.username)
