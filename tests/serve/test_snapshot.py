"""A snapshot: the newest picture as a signed file that states its origin."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from http_fakes import Running, running
from patience import PATIENCE_S
from serve_rig import grey
from vivace.errors import SinkWriteError
from vivace.media.frame import Frame
from vivace.serve import marking as marking_module
from vivace.serve.marking import Marking
from vivace.settings import MARKS
from vivace.trust.keys import SigningKey, open_key
from vivace.trust.label import Label, LabelStyle
from vivace.trust.verify import verify

SIZE = (128, 96)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return open_key(folder=tmp_path_factory.mktemp("keys"))


@pytest.fixture
def server(key: SigningKey) -> Iterator[Running]:
    with running(marking=Marking(MARKS, key=key)) as made:
        yield made


def painting(server: Running, prompt: str | None = "red") -> dict[str, Any]:
    """Return a session that has painted a picture."""
    session = server.open(controls={"prompt": prompt, "crossfade_s": 0, "size": SIZE})
    live = server.manager.get(session["id"])

    until_s = time.monotonic() + PATIENCE_S
    while live.newest is None:
        assert time.monotonic() < until_s, "no picture came"
        live.push(grey(100, SIZE))
        time.sleep(0.001)
    return session


def asked(server: Running, session: dict[str, Any], **query: str) -> Any:
    headers = {"x-session-secret": session["secret"]}
    return server.client.get(f"/v1/sessions/{session['id']}/snapshot", params=query, headers=headers)


def of_one_moment(
    server: Running, session: dict[str, Any], *queries: dict[str, str]
) -> tuple[Frame, list[NDArray[np.uint8]]]:
    """Return the newest frame and its snapshots; pictures that were pushed may still be on their way before."""
    live = server.manager.get(session["id"])
    while True:
        newest = live.newest
        assert newest is not None
        answers = [asked(server, session, **query) for query in queries]
        if live.newest is newest:
            return newest, [np.asarray(Image.open(io.BytesIO(answer.content))) for answer in answers]


@pytest.mark.parametrize(("kind", "media_type"), [("png", "image/png"), ("jpg", "image/jpeg"), ("webp", "image/webp")])
def test_a_snapshot_is_signed_and_at_most_8_kb_larger(
    server: Running, kind: str, media_type: str, tmp_path: Path
) -> None:
    session = painting(server)
    answer = asked(server, session, type=kind)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["cache-control"] == "no-store"
    path = tmp_path / f"snapshot.{kind}"
    path.write_bytes(answer.content)
    report = verify(path)
    assert report.verdict == "repainted"
    assert report.credentials is not None
    assert report.credentials.state == "valid"
    assert [action.action for action in report.credentials.actions] == ["c2pa.opened", "c2pa.edited"]
    assert report.label is not None
    assert report.label.places == ("XMP",)
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == SIZE
    alone = io.BytesIO()
    picture.save(alone, picture.format, **({"quality": 95} if kind != "png" else {}))
    assert len(answer.content) <= len(alone.getvalue()) + 8 * 1024


@pytest.mark.parametrize(("prompt", "query"), [(None, {}), ("red", {"before": "true"})])
def test_what_is_not_painted_is_not_said_to_be(
    server: Running, tmp_path: Path, prompt: str | None, query: dict[str, str]
) -> None:
    path = tmp_path / "snapshot.png"
    path.write_bytes(asked(server, painting(server, prompt), **query).content)
    assert verify(path).verdict == "not_repainted"


def test_the_picture_is_the_one_that_left_the_model(server: Running) -> None:
    session = painting(server)
    newest, (seen, both, source) = of_one_moment(server, session, {}, {"compare": "true"}, {"before": "true"})
    assert np.abs(seen.astype(int) - newest.rgb).max() == 0
    assert newest.source_rgb is not None
    np.testing.assert_array_equal(both[:, : SIZE[0]], newest.source_rgb)
    np.testing.assert_array_equal(source, newest.source_rgb)
    np.testing.assert_array_equal(both[:, -SIZE[0] :], newest.rgb)


def test_where_pictures_have_no_label_one_may_be_asked_for() -> None:
    with running() as server:
        session = painting(server)
        german = {"label": "bottom-right", "language": "de"}
        newest, (plain, labelled) = of_one_moment(server, session, {}, german)
        np.testing.assert_array_equal(plain, newest.rgb)
        np.testing.assert_array_equal(labelled, Label(LabelStyle("bottom-right", language="de"))(newest).rgb)
        assert b"KI-bearbeitet" in asked(server, session, **german).content
        for wrong in ({"label": "middle"}, {"type": "gif"}, {"language": "xx"}):
            assert asked(server, session, **wrong).status_code == 422


def test_who_may_not_steer_gets_none_and_before_the_first_picture_there_is_none(server: Running) -> None:
    session = server.open()
    assert (asked(server, session).status_code, asked(server, session).json()["code"]) == (409, "no_picture")
    painting(server)
    answer = server.client.get(f"/v1/sessions/{session['id']}/snapshot")
    assert answer.status_code == 403
    assert server.client.get("/v1/sessions/nobody/snapshot").status_code in (404, 410)


def test_a_picture_that_cannot_be_signed_is_not_given(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise SinkWriteError("snapshot.png: is complete, but not signed (disk full)")

    monkeypatch.setattr(marking_module, "sign_file", fails)
    answer = asked(server, painting(server))
    assert (answer.status_code, answer.json()["code"]) == (507, "storage")
