"""C2PA manifest of a file of ours: the origin of its pictures, and the actions on them.

Nothing is said that was not done: where no frame was painted, they name the source and that it was encoded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vivace.media.frame import Frame
from vivace.media.registry import SOURCES

VERSION = version("vivace")
PARENT = "source"
"""Label by which the actions of a manifest refer to the source."""

PROMPTS, PROMPT_CHARS = 100, 2000
"""The first of a run, and of each its beginning: the library takes no manifest of a million characters."""


class SourceType(StrEnum):
    """Digital source types of IPTC's vocabulary; the library would take any text."""

    CAMERA = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    SCREEN = "http://cv.iptc.org/newscodes/digitalsourcetype/screenCapture"
    SCENE = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"
    REPAINTED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


GENERATIVE = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")
"""IPTC's digital source types of what a generative model has made or changed, their last parts."""


@dataclass(slots=True)
class Work:
    """Facts about a run for its manifests; what was painted and under which prompts is filled in while it goes on."""

    source: str
    """The source's name, for people."""
    created: SourceType | None = None
    """Source type of pictures that come to be here; None: they were there before, and a file may be their parent."""
    model: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the model's files by name: `sha256:…`, or what is known of them."""
    _: KW_ONLY
    follower: Callable[[], Mapping[str, str]] = dict
    """Returns those of the network that carries edited key frames."""
    marks: Mapping[str, str] = field(default_factory=dict)
    """Marks in the pictures by name, also those turned off."""
    tell_prompts: bool = False
    painted: bool = False
    """True once a frame was painted."""
    followed: bool = False
    """True once an edited key frame was carried into one."""
    prompts: dict[str, None] = field(default_factory=dict)
    """Prompts in their order."""

    def see(self, frame: Frame, prompt: str | None = None) -> None:
        """Note an output frame, and the prompt that it was painted under."""
        self.painted |= frame.painted
        self.followed |= frame.painted and frame.followed
        if frame.painted and prompt is not None:
            self.prompts[prompt] = None


def created_by(spec: str) -> SourceType | None:
    """Return how the pictures of a source come to be, None where they were there before."""
    named = SOURCES.by_word(spec)
    kind = named[0].name if named else "camera" if spec.isdigit() and not Path(spec).exists() else ""
    return {"camera": SourceType.CAMERA, "screen": SourceType.SCREEN, "scene": SourceType.SCENE}.get(kind)


def manifest(work: Work, title: str, *, parent_given: bool = False) -> dict[str, Any]:
    """Return the manifest of a file, as the library takes it.

    Args:
        work: what was done.
        title: the file's name.
        parent_given: the source's own file is added as ingredient `PARENT`; otherwise it is named here.
    """
    said: dict[str, Any] = {
        "claim_generator_info": [{"name": "Vivace", "version": VERSION}],
        "title": title,
    }
    if work.created is None:
        actions: list[dict[str, Any]] = [{"action": "c2pa.opened", "parameters": {"ingredientIds": [PARENT]}}]
        if not parent_given:
            said["ingredients"] = [{"title": work.source, "relationship": "parentOf", "label": PARENT}]
        if not work.painted:
            actions.append({"action": "c2pa.transcoded"})
    else:
        actions = [{"action": "c2pa.created", "digitalSourceType": work.created}]
    if work.painted:
        actions.append(_edited(work))
    said["assertions"] = [{"label": "c2pa.actions.v2", "data": {"actions": actions}}]
    return said


def _edited(work: Work) -> dict[str, Any]:
    weights = {**work.weights, **(work.follower() if work.followed else {})}
    parameters: dict[str, Any] = {"vivace.model": work.model, "vivace.weights": weights}
    parameters |= {f"vivace.{name}": value for name, value in work.marks.items()}
    if work.tell_prompts:
        parameters["vivace.prompts"] = [prompt[:PROMPT_CHARS] for prompt in list(work.prompts)[:PROMPTS]]
    return {
        "action": "c2pa.edited",
        "digitalSourceType": SourceType.REPAINTED,
        "softwareAgent": {"name": "Vivace", "version": VERSION},
        "description": f"Pictures repainted by the image model {work.model}",
        "parameters": parameters,
    }
