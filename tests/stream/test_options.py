import numpy as np
import pytest

import vivace
from fakes import EMBEDS, NEGATIVE_PROMPT, FakeModel, fail_on, pictures
from vivace.errors import ControlError
from vivace.models.controls import ControlSpec
from vivace.stream.controls import Controls, check_changes
from vivace.stream.moderation import NOBODY
from vivace.stream.options import check_options, parse_options

OPTIONS = (
    ControlSpec(name="depth_every", help="frames between two looks at depth", default=1, low=1, high=8, whole=True),
    ControlSpec(name="warp", help="how much of the noise moves with the source", default=0.0),
    ControlSpec(name="follow", kind="switch", help="the camera", default=False),
    ControlSpec(name="decoder", kind="choice", help="which", default="fast", choices=("fast", "fine")),
    ControlSpec(name="title", kind="text", help="words of the picture", default=""),
    ControlSpec(name="anchor", kind="event", help="anchors anew"),
    NEGATIVE_PROMPT,
)
MODEL = FakeModel(options=OPTIONS)
SPEC = MODEL.spec


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth_evry": 2}, "fake has no option 'depth_evry'; did you mean 'depth_every'"),
        ({"zzz": 2}, "known: anchor, decoder, depth_every, follow, negative_prompt, title, warp"),
        ({3: 2}, "no option 3"),
        ({"depth_every": 0}, "^depth_every is 0; give a whole number, 1 to 8; the default is 1$"),
        ({"depth_every": 2.5}, "depth_every is 2.5, not a whole number; give a whole number, 1 to 8"),
        ({"depth_every": float("nan")}, "depth_every is nan"),
        ({"depth_every": True}, "depth_every is True, not a whole number"),
        ({"warp": "1"}, "warp is '1', not a number"),
        ({"follow": 1}, "^follow is 1; give true or false; the default is false$"),
        ({"follow": "on"}, "follow is 'on'; give true or false"),
        ({"decoder": "slow"}, "^decoder is 'slow'; give fast or fine; the default is fast$"),
        ({"decoder": 1}, "decoder is 1; give fast or fine"),
        ({"decoder": np.array(["fast", "fine"])}, "decoder is of type ndarray; give fast or fine"),
        ({"title": 2.5}, "title is 2.5; give text of at most 2,000 characters; the default is ''"),
        ({"title": "a" * 2001}, "title has 2,001 characters"),
        ({"anchor": True}, "anchor is an event, which holds no value; name it among the events"),
        ([("warp", 1)], "options is .*give a mapping"),
        ("warp", "options is 'warp'; give a mapping"),
    ],
)
def test_options_that_cannot_be_used_are_refused_by_name(options, message):
    with pytest.raises(ControlError, match=message):
        check_changes({"options": options}, MODEL, moderator=NOBODY)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (["ancor"], "fake has no event 'ancor'; did you mean 'anchor'"),
        ([["anchor"]], "fake has no event"),
        (["warp"], "fake has no event 'warp'; known: anchor"),
        ([3], "fake has no event 3"),
        ("anchor", "events is 'anchor'; give a list of names"),
        (3, "events is 3; give a list"),
    ],
)
def test_events_that_cannot_happen_are_refused_by_name(events, message):
    with pytest.raises(ControlError, match=message):
        check_changes({"events": events}, MODEL, moderator=NOBODY)


def test_a_model_without_options_says_so():
    with pytest.raises(ControlError, match="fake has no options of its own, so none is called 'warp'"):
        check_options({"warp": 1}, FakeModel(), moderator=NOBODY)


def test_an_update_merges_into_the_options_set_before_and_none_is_the_default_again():
    controls = Controls().changed(
        check_changes({"options": {"depth_every": np.int64(4), "warp": 1}}, MODEL, moderator=NOBODY)
    )
    assert controls.options == {"depth_every": 4.0, "warp": 1.0}
    more = {"depth_every": None, "follow": True, "decoder": "fine", "title": "ink"}
    controls = controls.changed(check_changes({"options": more}, MODEL, moderator=NOBODY))
    assert controls.options == {"warp": 1.0, "follow": True, "decoder": "fine", "title": "ink"}
    assert controls.changed({"strength": 0.5}).options is controls.options
    assert controls.changed(check_changes({"options": None}, MODEL, moderator=NOBODY)).options == {}


def test_typed_values_are_what_their_controls_hold():
    texts = {"depth_every": "4", "warp": "1e-1", "follow": "On", "decoder": "fine", "title": "1"}
    values = parse_options(texts, SPEC)
    assert values == {
        "depth_every": 4.0, "warp": 0.1, "follow": True, "decoder": "fine", "title": "1"
    }  # fmt: skip
    assert check_options(values, MODEL, moderator=NOBODY) == values
    for typed, said in (
        ({"warp": "much"}, "warp is 'much', not a number"),
        ({"follow": "perhaps"}, "follow is 'perhaps'; give true or false"),
        ({"wrap": "1"}, "did you mean 'warp'"),
    ):
        with pytest.raises(ControlError, match=said):
            check_options(parse_options(typed, SPEC), MODEL, moderator=NOBODY)


@pytest.mark.parametrize(
    "wrong",
    [
        {"default": 2.0},
        {"default": "x"},
        {"default": True},
        {"kind": "switch", "default": 1.0},
        {"kind": "choice", "default": "c", "choices": ("a", "b")},
        {"kind": "text", "default": 0.0},
        {"default": 0.5, "whole": True},
        {"kind": "image", "default": "look.png"},
        {"kind": "event", "default": True},
        {"high": float("inf")},
        {"low": 2.0},
        {"kind": "choice"},
        {"kind": "choice", "default": "warm", "choices": "warm"},
    ],
)
def test_a_control_whose_default_it_could_not_take_cannot_be_declared(wrong):
    with pytest.raises(ValueError, match=r"control odd: .* is no"):
        ControlSpec(name="odd", help="", **wrong)


def test_a_control_needs_a_name_and_a_kind_and_no_namesake():
    for name in ("", "a=b", " a", "ä" * 200):
        with pytest.raises(ValueError, match="is no name of a control"):
            ControlSpec(name=name, help="")
    with pytest.raises(ValueError, match="there is no kind 'nmuber'; known: text, number"):
        ControlSpec(name="odd", help="", kind="nmuber")
    with pytest.raises(ValueError, match="there is no scope 'always'; known: frame, stream, model"):
        ControlSpec(name="odd", help="", scope="always")
    with pytest.raises(ValueError, match="model fake declares the control 'warp' twice"):
        FakeModel(options=(OPTIONS[1], OPTIONS[1]))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "event", "scope": "stream"}, "an event happens at a frame"),
        ({"kind": "event", "scope": "model"}, "an event happens at a frame"),
        ({"kind": "image", "scope": "model"}, "is one of its files"),
        ({"kind": "mask", "scope": "model"}, "is one of its files"),
    ],
)
def test_some_kinds_are_not_settled_early(wrong, said):
    with pytest.raises(ValueError, match=said):
        ControlSpec(name="odd", help="", **wrong)


def test_what_a_model_is_loaded_with_is_declared_by_its_family():
    with pytest.raises(ValueError, match=r"control odd is of scope 'model': declare it in Family\.controls"):
        FakeModel(options=(ControlSpec(name="odd", help="", scope="model"),))


def test_an_event_asked_for_before_the_first_frame_happens_at_it():
    model = FakeModel(options=OPTIONS)
    with vivace.Stream(model, prompt="red") as stream:
        assert stream.update(events=["anchor"]).frame_index == 0
        for frame in pictures(2):
            stream.push(frame.rgb)
    assert [chunk.events for chunk in model.chunks] == [{"anchor"}, set()]


def test_an_event_of_a_step_that_failed_happens_at_the_next():
    model = FakeModel(options=OPTIONS, on_step=fail_on(1))
    with vivace.Stream(model, prompt="red", detect_cuts=False) as stream:
        frames = pictures(4)
        stream.push(frames[0].rgb)
        stream.update(events=["anchor"])
        for frame in frames[1:]:
            stream.push(frame.rgb)
    assert [bool(chunk.events) for chunk in model.chunks] == [False, True, True, False]


def test_a_stream_takes_a_negative_prompt_and_options_and_anchors_anew_on_request():
    model = FakeModel(options=OPTIONS)
    stream = vivace.Stream(model, prompt="red", options={"warp": 0.5, "negative_prompt": " green "})
    assert stream.controls.options["negative_prompt"].text == "green"
    frames = pictures(4)
    stream.push(frames[0].rgb)
    ack = stream.update(events=["anchor"])
    assert (ack.applied, ack.frame_index) == (("events",), 1)
    stream.push(frames[1].rgb)
    stream.update(options={"warp": None, "negative_prompt": ""})
    stream.push(frames[2].rgb)
    first, second, third = (chunk.options for chunk in model.chunks)
    assert (first["warp"], first["negative_prompt"].embeds.tolist()) == (0.5, list(EMBEDS["green"]))
    assert second["negative_prompt"] is first["negative_prompt"]  # encoded once
    assert third == {}
    assert [chunk.events for chunk in model.chunks] == [set(), {"anchor"}, set()]
    stream.close()


@pytest.mark.parametrize(("chunk_frames", "lag"), [(1, 0), (1, 2), (3, 2)])
def test_an_event_happens_once_however_often_it_is_asked_for_between_two_chunks(chunk_frames, lag):
    model = FakeModel(options=OPTIONS, chunk_frames=chunk_frames, lag=lag)
    with vivace.Stream(model, prompt="red", detect_cuts=False) as stream:
        for index, frame in enumerate(pictures(9)):
            if index in (4, 5):
                stream.update(events=["anchor"])
            stream.push(frame.rgb)
        stream.flush()
    fired = [index for index, chunk in enumerate(model.chunks) if chunk.events]
    assert fired == ([4, 5] if chunk_frames == 1 else [1])


def test_an_event_waits_while_nothing_is_painted_and_is_not_repeated_in_another_run():
    model = FakeModel(options=OPTIONS)
    with vivace.Stream(model, prompt="red", options={"warp": 0.5}) as stream:
        frames = pictures(6)
        stream.push(frames[0].rgb)
        stream.update(prompt=None, crossfade_s=0)
        stream.update(events=["anchor"])
        stream.push(frames[1].rgb)
        stream.update(prompt="red")
        stream.push(frames[2].rgb)
        stream.push(frames[3].rgb)
    assert [bool(chunk.events) for chunk in model.chunks] == [False, True, False]


def test_a_model_without_anchors_refuses_to_set_them_by_name():
    with (
        vivace.Stream(FakeModel()) as stream,
        pytest.raises(ControlError, match="no events of its own, so none is called 'anchor'"),
    ):
        stream.update(events=["anchor"])


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_an_encoded_text_may_be_none(nothing):
    assert check_changes({"options": {"negative_prompt": nothing}}, MODEL, moderator=NOBODY) == {
        "options": {"negative_prompt": None}
    }


@pytest.mark.parametrize(
    ("model", "prompt", "message"),
    [
        (FakeModel(), "red", "fake has no options of its own, so none is called 'negative_prompt'"),
        (MODEL, "purple", "negative_prompt: no idea; near is blue"),
        (MODEL, "?!", "negative_prompt is '\\?!', without a letter or digit; say it in words"),
        (MODEL, 3, "negative_prompt is 3; give text"),
        (MODEL, "a" * 2001, "negative_prompt has 2,001 characters"),
        (MODEL, "a\ud800", "negative_prompt has an invalid character \\(half of a surrogate pair\\) at position 1"),
    ],
)
def test_an_encoded_text_that_cannot_be_used_is_refused(model, prompt, message):
    with pytest.raises(ControlError, match=message):
        check_changes({"options": {"negative_prompt": prompt}}, model, moderator=NOBODY)


def test_strength_is_the_models_default_unless_named():
    model = FakeModel(default_strength=0.5, conditions=("prompt", "strength"))
    with vivace.Stream(model) as stream:
        assert stream.controls.strength == 0.5
        stream.update(strength=0.9)
        assert stream.controls.strength == 0.9
        stream.update(strength=None)
        assert stream.controls.strength == 0.5
