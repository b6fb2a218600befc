import numpy as np
import pytest

import vivace
from fakes import FakeModel, pictures
from vivace.errors import ControlError
from vivace.models.base import ModelOption
from vivace.stream.controls import Controls, check_changes
from vivace.stream.options import check_options, next_anchor

OPTIONS = (
    ModelOption("depth_every", "frames between two looks at depth", 1, 1, 8, whole=True),
    ModelOption("warp", "how much of the noise moves with the source", 0.0, 0.0, 1.0),
    ModelOption("anchor", "a change anchors anew", 0, 0, 3, whole=True),
)
MODEL = FakeModel(conditions=("prompt", "negative_prompt"), options=OPTIONS)
SPEC = MODEL.spec


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth_evry": 2}, "fake has no option 'depth_evry'; did you mean depth_every"),
        ({"zzz": 2}, "there are anchor, depth_every, warp"),
        ({3: 2}, "no option 3"),
        ({"depth_every": 0}, "option depth_every is 0; give 1 to 8, or None for 1"),
        ({"depth_every": 2.5}, "depth_every is 2.5, not a whole number; give 1 to 8"),
        ({"depth_every": float("nan")}, "depth_every is nan"),
        ({"depth_every": True}, "depth_every is True, not a number"),
        ({"warp": "1"}, "warp is '1', not a number"),
        ([("warp", 1)], "options is .*give a mapping"),
        ("warp", "options is 'warp'; give a mapping"),
    ],
)
def test_options_that_cannot_be_used_are_refused_by_name(options, message):
    with pytest.raises(ControlError, match=message):
        check_changes({"options": options}, MODEL)


def test_a_model_without_options_says_so():
    with pytest.raises(ControlError, match="fake has no options of its own, so none is called 'warp'"):
        check_options({"warp": 1}, FakeModel().spec)


def test_an_update_merges_into_the_options_set_before_and_none_is_the_default_again():
    controls = Controls().changed(check_changes({"options": {"depth_every": np.int64(4), "warp": 1}}, MODEL))
    assert controls.options == {"depth_every": 4.0, "warp": 1.0}
    controls = controls.changed(check_changes({"options": {"depth_every": None, "anchor": 2}}, MODEL))
    assert controls.options == {"warp": 1.0, "anchor": 2.0}
    assert controls.changed({"strength": 0.5}).options is controls.options
    assert controls.changed(check_changes({"options": None}, MODEL)).options == {}


def test_asking_for_an_anchor_always_changes_the_option_within_its_range():
    options = {}
    seen = []
    for _ in range(5):
        options = next_anchor(options, SPEC)
        seen.append(options["anchor"])
    assert seen == [1, 2, 3, 0, 1]
    assert check_options(options, SPEC) == options


def test_a_stream_takes_a_negative_prompt_and_options_and_anchors_anew_on_request():
    model = FakeModel(conditions=("prompt", "negative_prompt"), options=OPTIONS)
    stream = vivace.Stream(model, prompt="red", negative_prompt=" green ", options={"warp": 0.5})
    assert stream.controls.negative_prompt.text == "green"
    frames = pictures(4)
    stream.push(frames[0].rgb)
    ack = stream.reanchor()
    assert (ack.applied, ack.frame_index) == (("options",), 1)
    stream.push(frames[1].rgb)
    stream.update(negative_prompt="", options={"warp": None})
    stream.push(frames[2].rgb)
    assert [chunk.options for chunk in model.chunks] == [{"warp": 0.5}, {"warp": 0.5, "anchor": 1.0}, {"anchor": 1.0}]
    assert [chunk.negative_embeds is None for chunk in model.chunks] == [False, False, True]
    stream.close()


def test_a_model_without_anchors_refuses_to_set_them_by_name():
    with vivace.Stream(FakeModel()) as stream, pytest.raises(ControlError, match="fake keeps no anchors"):
        stream.reanchor()


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_no_negative_prompt_is_fine_with_any_model(nothing):
    assert check_changes({"negative_prompt": nothing}, FakeModel()) == {"negative_prompt": None}


@pytest.mark.parametrize(
    ("model", "prompt", "message"),
    [
        (FakeModel(), "red", "fake takes no negative prompt; leave it out"),
        (MODEL, "purple", "negative_prompt: no idea; near is blue"),
        (MODEL, "?!", "negative_prompt is '\\?!', without a letter or digit; say what shall not be seen"),
        (MODEL, 3, "negative_prompt is 3; give text"),
        (MODEL, "a" * 2001, "negative_prompt has 2,001 characters"),
    ],
)
def test_a_negative_prompt_that_cannot_be_used_is_refused(model, prompt, message):
    with pytest.raises(ControlError, match=message):
        check_changes({"negative_prompt": prompt}, model)


def test_strength_is_the_models_default_unless_named():
    model = FakeModel(default_strength=0.5, conditions=("prompt", "strength"))
    with vivace.Stream(model) as stream:
        assert stream.controls.strength == 0.5
        stream.update(strength=0.9)
        assert stream.controls.strength == 0.9
        stream.update(strength=None)
        assert stream.controls.strength == 0.5
