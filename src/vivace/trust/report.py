"""Report on a file: its credentials, watermark and label, and the verdict."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

EXIT_UNMARKED = 5
EXIT_BROKEN = 6

Verdict = Literal["repainted", "not_repainted", "unmarked", "changed", "bad_certificate", "broken", "unknown"]
CredentialsState = Literal["none", "trusted", "valid", "changed", "bad_certificate", "broken", "unknown"]

_EXIT_CODES: dict[Verdict, int] = {
    "repainted": 0,
    "not_repainted": 0,
    "unmarked": EXIT_UNMARKED,
    "unknown": 3,
    "changed": EXIT_BROKEN,
    "bad_certificate": EXIT_BROKEN,
    "broken": EXIT_BROKEN,
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Ingredient(_Part):
    """Ingredient that a file was made of, according to its credentials."""

    title: str
    relationship: str
    state: CredentialsState
    """State of its own credentials when it was used."""


class Action(_Part):
    """Action on the pictures, according to the credentials."""

    action: str
    by: str = ""
    """Name and version of the program."""
    source_type: str = ""
    """IPTC's digital source type, its last part."""
    description: str = ""
    parameters: dict[str, str] = {}


class CredentialsFound(_Part):
    """Content credentials: what they claim and their state."""

    state: CredentialsState = "none"
    """`trusted` and `valid` hold; a `valid` one is signed by somebody for whom nobody you trust vouches."""
    reason: str = ""
    """Reason why they do not hold, or cannot be read."""
    codes: tuple[str, ...] = ()
    """C2PA's codes of what failed."""
    beside: bool = False
    """True where they lie beside the file."""
    signer: str = ""
    issuer: str = ""
    """Organisation of the certificate."""
    algorithm: str = ""
    generator: str = ""
    """Name and version of the program that made the file."""
    actions: tuple[Action, ...] = ()
    ingredients: tuple[Ingredient, ...] = ()
    says_ai: bool = False
    """True where an action on the file or on its ingredients is of a generative model."""

    @property
    def holds(self) -> bool:
        """True where the signature holds, be the signer trusted or not."""
        return self.state in ("trusted", "valid")

    @property
    def words(self) -> str:
        """Sentence part that names the signer."""
        trust = "whom you trust" if self.state == "trusted" else "for whom nobody you trust vouches"
        return f"content credentials that hold, signed by {self.signer or 'nobody named'}, {trust}"


class LabelFound(_Part):
    """Statements in the file's own words, which anybody can write."""

    places: tuple[str, ...] = ()
    """Places that say that a generative model made or changed it: `XMP`, `comment`, `SEI`."""


class WatermarkFound(_Part):
    """Vivace's watermark, as far as it was found."""

    payload: str = ""
    """Payload, 12 hexadecimal digits; empty where it is found and cannot be read, or not found."""
    seconds: tuple[int, ...] = ()
    """Seconds of the video in which it was found."""
    searched_s: int = 0
    """Seconds looked at, from the beginning."""
    together: bool = False
    """True where it was read in all of these together, and in none by itself."""
    false_alarm: float = 1.0
    """Bound of the probability that as much is found in pictures without one."""


class Report(_Part):
    """All that was found of one file. A part is None where the time and memory there was did not suffice."""

    name: str
    """Name of the file."""
    credentials: CredentialsFound | None = None
    label: LabelFound | None = None
    watermark: WatermarkFound | None = None
    notes: tuple[str, ...] = ()
    """Reasons why something could not be looked at."""

    @property
    def says_ai(self) -> tuple[str, ...]:
        """Marks besides credentials that say it is AI-modified, in words."""
        said = []
        if self.watermark is not None and self.watermark.seconds:
            payload = f" {self.watermark.payload}" if self.watermark.payload else ""
            said.append(f"Vivace's watermark{payload}")
        if self.label is not None and self.label.places:
            said.append(f"words in the file that anybody can write ({', '.join(self.label.places)})")
        return tuple(said)

    @property
    def verdict(self) -> Verdict:
        """Verdict over all that was found."""
        credentials = self.credentials or CredentialsFound(state="unknown")
        if credentials.state in ("changed", "bad_certificate", "broken"):
            return credentials.state
        if self.says_ai or (credentials.holds and credentials.says_ai):
            return "repainted"
        if credentials.holds:
            return "not_repainted"
        looked = self.label is not None and self.watermark is not None
        return "unmarked" if credentials.state == "none" and looked else "unknown"

    @property
    def words(self) -> str:
        """The verdict as one sentence."""
        credentials = self.credentials or CredentialsFound(state="unknown")
        said = list(self.says_ai)
        also = f"; AI-modified, according to {_joined(said)}" if said else ""
        match self.verdict:
            case "repainted" if credentials.says_ai and credentials.holds:
                return f"AI-modified, according to {_joined([credentials.words, *said])}"
            case "repainted":
                silent = f"; its {credentials.words}, say nothing of it" if credentials.holds else ""
                return f"AI-modified, according to {_joined(said)}{silent}"
            case "not_repainted":
                return f"nothing says that it is AI-modified; it has {credentials.words}"
            case "unmarked":
                return "it says nothing of how it was made: it may be anything"
            case "changed":
                return f"it was changed after it was signed: {credentials.reason}{also}"
            case "bad_certificate":
                return f"the pictures are as signed, but the certificate is bad: {credentials.reason}{also}"
            case "broken":
                return f"its content credentials do not hold: {credentials.reason}{also}"
            case _:
                return "it could not be checked: " + "; ".join((*self.notes, *filter(None, [credentials.reason])))

    @property
    def exit_code(self) -> int:
        """0 what it says holds, 5 it says nothing, 6 what it says does not hold, 3 it could not be checked."""
        return _EXIT_CODES[self.verdict]

    def document(self) -> dict[str, object]:
        """Return what JSON holds of it."""
        return {"verdict": self.verdict, "words": self.words, **self.model_dump(mode="json")}


def _joined(said: list[str]) -> str:
    return ", and to ".join(said)
