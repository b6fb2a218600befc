"""Looks into one file, as a program of its own, so that what a file does to its reader is done to that alone.

    python -m vivace.trust.reading FILE [PEM]

Each part of what is found is a line of JSON, `{"credentials": …}`, as soon as it is known; a later one of the same part
replaces it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vivace.errors import VivaceError
from vivace.media.open import open_source
from vivace.media.statement import words_in
from vivace.trust.library import context
from vivace.trust.manifest import GENERATIVE
from vivace.trust.report import Action, CredentialsFound, CredentialsState, Ingredient, LabelFound, WatermarkFound
from vivace.trust.signing import sidecar_of
from vivace.trust.watermark.detect import search_by_second

MEMORY_BYTES = 3 * 2**30
"""Memory limit of reading."""
SECONDS = 10
"""Seconds of a video that are searched for the watermark."""
SIDECAR_BYTES = 64 * 2**20
MOST = 100
"""Longest list that is taken from a file."""
CHARS = 200
"""Longest text that is taken from it."""


def find_credentials(path: Path, trusted: bytes = b"") -> CredentialsFound:
    """Return what the credentials of a file say, in it or beside it.

    Args:
        path: the file.
        trusted: certificates in PEM form of who is trusted to vouch.
    """
    from c2pa import C2paError, Reader

    beside = next((each for each in (sidecar_of(path), path.with_suffix(".c2pa")) if each.is_file()), None)
    try:
        given = None
        if beside is not None and beside != path:
            with beside.open("rb") as file:
                given = file.read(SIDECAR_BYTES)
        with path.open("rb") as file, Reader(None, file, given, context(trusted)) as reader:
            document = json.loads(reader.json())
    except (C2paError.ManifestNotFound, C2paError.NotSupported):
        return CredentialsFound()
    except (C2paError, OSError) as error:
        return CredentialsFound(state="unknown", reason=_clean(error))
    return _found(document, beside=given is not None)


def find_label(path: Path) -> LabelFound:
    """Return where a file says in its own words that a generative model made or changed it."""
    kinds = [f"digitalsourcetype/{kind}".lower() for kind in GENERATIVE]
    places = {place: None for place, text in words_in(path) if any(kind in text.lower() for kind in kinds)}
    return LabelFound(places=tuple(places))


def find_watermark(path: Path) -> Iterator[tuple[WatermarkFound, list[str]]]:
    """Yield what is found in the pictures of a file, as often as there is more of it, and notes on what went wrong."""
    found = WatermarkFound()
    try:
        with open_source(path) as source:
            for each in search_by_second(source, limit_s=SECONDS):
                found = WatermarkFound(
                    payload="" if each.payload is None else f"{each.payload:012x}",
                    seconds=tuple(second.second for second in each.marked),
                    searched_s=each.searched_s,
                    together=each.together,
                    false_alarm=each.false_alarm,
                )
                if found.seconds:
                    yield found, []
    except VivaceError as error:
        which = "further " if found.searched_s else ""
        yield found, [_clean(f"no {which}watermark was looked for: {error}".replace(str(path), path.name))]
    else:
        yield found, []


def _found(document: Mapping[str, Any], *, beside: bool) -> CredentialsFound:
    manifests = document.get("manifests") or {}
    active = manifests.get(document.get("active_manifest")) or {}
    results = (document.get("validation_results") or {}).get("activeManifest") or {}
    state, codes, reason = _judged(results, str(document.get("validation_state")))
    signature = active.get("signature_info") or {}
    generators = active.get("claim_generator_info") or [{}]
    every_action = [action for manifest in manifests.values() for action in _actions(manifest)]
    return CredentialsFound(
        state=state,
        reason=reason,
        codes=codes,
        beside=beside,
        signer=_clean(signature.get("common_name", "")),
        issuer=_clean(signature.get("issuer", "")),
        algorithm=_clean(signature.get("alg", "")).upper(),
        generator=_program(generators[0]),
        actions=tuple(_action(action) for action in _actions(active)[:MOST]),
        ingredients=tuple(_ingredient(each) for each in (active.get("ingredients") or ())[:MOST]),
        says_ai=any(
            str(action.get("digitalSourceType", "")).rpartition("/")[2] in GENERATIVE for action in every_action
        ),
    )


def _judged(results: Mapping[str, Any], state: str) -> tuple[CredentialsState, tuple[str, ...], str]:
    """Return whether what was signed holds, what failed by C2PA's codes, and in words.

    The library says `Invalid` of a certificate that may not sign and of a changed picture alike.
    """
    failures = {str(each.get("code")): each for each in results.get("failure") or ()}
    failures.pop("signingCredential.untrusted", None)
    codes = tuple(_clean(code) for code in list(failures)[:MOST])
    if state in ("Valid", "Trusted") and not failures:
        return ("trusted" if state == "Trusted" else "valid"), (), ""
    for part, judged, words in _FAILURES:
        if hit := next((code for code in codes if part in code), None):
            return judged, codes, f"{words} ({hit})"
    explained = next((_clean(each.get("explanation", "")) for each in failures.values()), "")
    return "broken", codes, f"{explained or 'no reason given'} ({codes[0] if codes else state})"


_FAILURES: tuple[tuple[str, CredentialsState, str], ...] = (
    ("Hash.mismatch", "changed", "the pictures or sound are not those that were signed"),
    ("hashedURI.mismatch", "changed", "what the credentials say is not what was signed"),
    ("claimSignature.mismatch", "changed", "what the credentials say is not what was signed"),
    ("signingCredential.expired", "bad_certificate", "it had run out when it signed"),
    ("claimSignature.outsideValidity", "bad_certificate", "it had run out when it signed"),
    ("signingCredential.", "bad_certificate", "it is not one that may sign content"),
)
"""Part of a code, what it means, and in words; what comes first weighs most."""


def _actions(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = []
    for assertion in manifest.get("assertions") or ():
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            found += [each for each in (assertion.get("data") or {}).get("actions") or () if isinstance(each, Mapping)]
    return found


def _action(action: Mapping[str, Any]) -> Action:
    parameters = action.get("parameters") or {}
    return Action(
        action=_clean(action.get("action", "")),
        by=_program(action.get("softwareAgent") or {}),
        source_type=_clean(str(action.get("digitalSourceType", "")).rpartition("/")[2]),
        description=_clean(action.get("description", "")),
        parameters={_clean(name): _clean(_flat(value)) for name, value in _first(parameters) if name != "ingredients"},
    )


def _ingredient(ingredient: Mapping[str, Any]) -> Ingredient:
    results = (ingredient.get("validation_results") or {}).get("activeManifest")
    return Ingredient(
        title=_clean(ingredient.get("title", "")),
        relationship=_clean(ingredient.get("relationship", "")),
        state="none" if results is None else _judged(results, "Valid")[0],
    )


def _first(values: object) -> Iterable[tuple[str, Any]]:
    return list(values.items())[:MOST] if isinstance(values, Mapping) else ()


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_flat(each)}" for name, each in _first(value))
    if isinstance(value, list):
        return ", ".join(_flat(each) for each in value[:MOST])
    return str(value)


def _program(agent: object) -> str:
    if isinstance(agent, Mapping):
        return _clean(f"{agent.get('name', '')} {agent.get('version', '')}")
    return _clean(agent)


def _clean(text: object) -> str:
    """Return text from a file as it may be shown: short, and without what would steer a terminal."""
    words = "".join(char if char.isprintable() else " " for char in str(text)[: 2 * CHARS])
    words = " ".join(words.split())
    return words if len(words) <= CHARS else f"{words[: CHARS - 1]}…"


def main(arguments: list[str]) -> None:
    """Look into a file and print what is found, within the memory there is for it."""
    try:
        import resource
    except ImportError:  # Windows: the time is the only bound there
        pass
    else:
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.nice(10)  # nobody's stream waits for it
    path = Path(arguments[0])
    trusted = Path(arguments[1]).read_bytes() if len(arguments) > 1 else b""
    print(json.dumps({"credentials": find_credentials(path, trusted).model_dump(mode="json")}), flush=True)
    print(json.dumps({"label": find_label(path).model_dump(mode="json")}), flush=True)
    for watermark, notes in find_watermark(path):
        print(json.dumps({"watermark": watermark.model_dump(mode="json"), "notes": notes}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
