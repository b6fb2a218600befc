"""Catalogue of what a client may choose: models, presets with their thumbnails, and how much of it is left."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from vivace.messages import MAX_PICTURE_CHARS, PROTOCOL_VERSION, Controls
from vivace.models import describe
from vivace.models.base import ModelSpec
from vivace.models.controls import MAX_TEXT_CHARS, ControlSpec
from vivace.serve.http.errors import ApiError
from vivace.serve.http.sessions import jpeg_response, limits_of
from vivace.serve.http.state import server_of
from vivace.serve.served_model import ServedModel
from vivace.serve.session_manager import Quota
from vivace.serve.thumbnails import PRESETS
from vivace.serve.version import VERSION
from vivace.stream.controls import OWN

router = APIRouter(prefix="/v1", tags=["catalog"])

THUMBNAIL_MAX_AGE_S = 3_600


@router.get("/models")
async def models(request: Request) -> dict[str, Any]:
    """List the models this server offers, the default first, with a schema of each model's options."""
    server = server_of(request)
    server.access_control.need(request, "view")
    loaded = server.manager.models.loaded()
    return {"models": [_model(name, profile, loaded.get(name)) for name, profile in server.settings.offered.items()]}


@router.get("/presets")
async def presets(request: Request) -> dict[str, Any]:
    """List prompts to begin with."""
    server_of(request).access_control.need(request, "view")
    return {
        "presets": [
            {"key": key, "title": title, "prompt": prompt, "thumbnail": f"/v1/presets/{key}.jpg"}
            for key, title, prompt in PRESETS
        ]
    }


@router.get("/presets/{key}.jpg", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def thumbnail(key: str, request: Request) -> Response:
    """Show what a preset looks like, painted by the model itself. Needs no token: an `<img>` cannot send one."""
    prompt = next((prompt for known, _, prompt in PRESETS if known == key), None)
    if prompt is None:
        raise ApiError(404, "no_preset", f"there is no preset {key[:60]!r}; /v1/presets lists them")
    server = server_of(request)
    served = await asyncio.to_thread(server.manager.models.served)
    return jpeg_response(await server.thumbnails.of_scene(served, prompt), f"public, max-age={THUMBNAIL_MAX_AGE_S}")


@router.get("/quota")
async def quota(request: Request) -> Quota:
    """Say how many sessions the client may open, and how many slots are free."""
    server = server_of(request)
    access = server.access_control.need(request, "view")
    return server.manager.quota(access.client)


@router.get("/config")
async def config(request: Request) -> dict[str, Any]:
    """Say what a page needs to know before it asks for a session. Needs no token; ICE servers come with a session."""
    server = server_of(request)
    return {
        "version": VERSION,
        "protocol": PROTOCOL_VERSION,
        "token_needed": server.access_control.asks_for_tokens,
        "labelled": server.manager.marking.label is not None,
        "recording": server.settings.recordings is not None,
        "size": list(server.settings.size),
        "dynamic_size": None if server.settings.dynamic_size is None else list(server.settings.dynamic_size),
        "loading": server.manager.models.loading,
        "limits": limits_of(server).model_dump(),
    }


def _model(name: str, profile_name: str, served: ServedModel | None) -> dict[str, Any]:
    """Return a model as the API shows it; one that nobody has used yet is not loaded and has no spec."""
    model = None if served is None else served.model
    spec = None if model is None else model.spec
    shown = spec or describe(profile_name)
    return {
        "name": name,
        **{key: getattr(shown, key) for key in ("family", "summary", "licence")},
        "loaded": model is not None,
        "spec": spec and asdict(spec),
        "styles": list(spec.styles) if spec else [],
        "runtime": model and asdict(model.runtime),
        "options": options_schema(spec),
    }


def options_schema(spec: ModelSpec | None) -> dict[str, Any]:
    """Return JSON Schema of the controls as this model takes them, for a page to build its inputs from."""
    properties: dict[str, Any] = {}
    for name, schema in Controls.model_json_schema()["properties"].items():
        kept = next((dict(part) for part in schema.get("anyOf", ()) if part.get("type") != "null"), dict(schema))
        properties[name] = {**_about(name, ""), **kept, **(_control(OWN[name]) if name in OWN else {})}
    own: list[ControlSpec] = []
    if spec is not None:
        properties["denoising_steps"] |= {"enum": list(spec.denoising_steps), "default": spec.denoising_steps[0]}
        properties["size"] |= {
            "multiple": spec.size_multiple, "min": list(spec.min_size), "max": list(spec.max_size)
        }  # fmt: skip
        properties["strength"]["default"] = spec.default_strength
        own = [option for option in spec.options if not option.shared]  # not what changes other clients' pictures
    values = {option.name: _control(option) for option in own if option.kind != "event"}
    events = [{"const": option.name, **_about(option.name, option.help)} for option in own if option.kind == "event"]
    properties["options"] = {
        "title": "Options", "type": "object", "properties": values, "additionalProperties": False
    }  # fmt: skip
    properties["events"] = {"title": "Events", "type": "array", "items": {"oneOf": events}}
    for name, some in (("options", values), ("events", events)):
        if not some:
            properties.pop(name)
    return {"type": "object", "properties": properties}


def _about(name: str, words: str) -> dict[str, str]:
    title = {"title": name.removesuffix("_s").replace("_", " ").capitalize()}
    return title | {"description": words} if words else title


def _control(control: ControlSpec) -> dict[str, Any]:
    match control.kind:
        case "number":
            own: dict[str, Any] = {"type": "integer" if control.whole else "number"}
            own |= {"minimum": control.low, "maximum": control.high}
        case "switch":
            own = {"type": "boolean"}
        case "choice":
            own = {"type": "string", "enum": list(control.choices)}
            own |= {"beside": "prompt"} if control.beside_prompt else {}
        case "text":
            own = {"type": "string", "maxLength": MAX_TEXT_CHARS}
        case "image" | "mask":
            own = {"type": "string", "contentEncoding": "data-url", "kind": control.kind}
            own |= {"maxLength": MAX_PICTURE_CHARS, "size": control.size}
        case "event":
            raise AssertionError("events are listed apart")
    settled = {"scope": "stream"} if control.scope == "stream" else {}
    default = {} if control.default is None else {"default": control.default}
    return {**_about(control.name, control.help), **own, **settled, **default}
