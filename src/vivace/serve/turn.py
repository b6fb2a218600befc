"""TURN users that expire: a name with a time in it, and a password that the TURN server works out by itself.

The scheme is the one of coturn's `use-auth-secret` (draft-uberti-behave-turn-rest-00): the user is `EXPIRY:NAME`,
seconds since 1970, and the password `base64(HMAC-SHA1(secret, user))`. The TURN server needs no list of users, and
what a client was given is worth nothing to others once it has expired.
"""

from __future__ import annotations

import base64
import hmac

from pydantic import SecretStr

from vivace.serve.settings import IceServer, ServeSettings


def ice_servers(settings: ServeSettings, now_s: float, name: str = "vivace") -> list[IceServer]:
    """Return the STUN and TURN servers for one client, TURN users made now where the settings say so.

    Args:
        settings: with the servers, and perhaps the secret shared with those that name no user.
        now_s: the time, in seconds since 1970.
        name: whose user it is, for the TURN server's log.
    """
    if settings.turn_secret is None:
        return settings.ice_servers
    user = f"{int(now_s + settings.turn_expires_s)}:{name}"
    password = turn_password(settings.turn_secret.get_secret_value(), user)
    return [
        server.model_copy(update={"username": user, "credential": SecretStr(password)}) if server.needs_user else server
        for server in settings.ice_servers
    ]


def turn_password(secret: str, user: str) -> str:
    """Return the password of a user that expires."""
    return base64.b64encode(hmac.digest(secret.encode(), user.encode(), "sha1")).decode()
