"""The models that a server offers: the default one is loaded at start, the others at their first use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

from vivace.errors import UnknownModelError
from vivace.models.base import StreamModel
from vivace.serve.limits import RefusedError
from vivace.serve.served_model import OPENING_STEPS, ServedModel, open_model
from vivace.serve.settings import ServeSettings

LOADING_RETRY_S = 2.0
LOADING_THREAD = "vivace-loading"


@dataclass(frozen=True, slots=True)
class Loading:
    """Progress of loading the default model."""

    model: str
    done: int
    steps: int
    """Number of steps, of much the same length."""


class OfferedModels:
    """The models of one server by the names that clients know them by. Thread-safe."""

    def __init__(
        self, settings: ServeSettings, load_model: Callable[[str], StreamModel[Any]] | None, clock: Callable[[], float]
    ) -> None:
        """Offer the settings' models; `load_model` loads one by name, None is `vivace.models.load_model`."""
        self.loading: Loading | None = None
        """While `load_default` works; nothing else is loaded meanwhile."""
        self.load_error: Exception | None = None
        """Why the default model could not be loaded."""
        self._settings = settings
        self._load_model = load_model or self._load
        self._clock = clock
        self._loaded: dict[str, ServedModel] = {}
        self._opening = {name: Lock() for name in settings.offered}

    async def load_default(self) -> None:
        """Load and measure the default model.

        A model that is half loaded cannot be given up: where this is cancelled, its thread `LOADING_THREAD` goes on.

        Raises:
            UnknownModelError: no such profile.
            DeviceError: this machine cannot run it.
        """
        self._tell_loading(0)
        pool = ThreadPoolExecutor(1, thread_name_prefix=LOADING_THREAD)  # the loop's own is waited for when it ends
        try:
            await asyncio.get_running_loop().run_in_executor(pool, self._open, self._settings.default_model)
        except Exception as error:
            self.load_error = error
            raise
        finally:
            self.loading = None
            pool.shutdown(wait=False)

    def check_loaded(self) -> None:
        """Refuse what needs the default model while it is being loaded.

        Raises:
            RefusedError: `loading`, with how far it is.
        """
        if (now := self.loading) is not None:
            text = f"{now.model} is being loaded, {now.done} of {now.steps} steps are done; try again in a few seconds"
            raise RefusedError("loading", text, LOADING_RETRY_S)

    @property
    def ready(self) -> bool:
        """True once the default model is loaded and its engine runs."""
        served = self._loaded.get(self._settings.default_model)
        return served is not None and served.engine.alive and self.loading is None

    def loaded(self) -> dict[str, ServedModel]:
        """Return the models that have been loaded."""
        return self._loaded.copy()

    def served(self, name: str | None = None) -> ServedModel:
        """Return a model, the default one unless named, with what its sessions share; loading it takes seconds.

        Raises:
            RefusedError: the server is only starting.
            UnknownModelError: not one of the settings' models.
        """
        self.check_loaded()
        return self._open(name or self._settings.default_model)

    def _open(self, name: str) -> ServedModel:
        if name not in self._opening:
            known = ", ".join(self._settings.offered)
            raise UnknownModelError(f"this server does not offer the model {name[:80]!r}; it has {known}")
        with self._opening[name]:
            served = self._loaded.get(name)
            if served is None:
                told = self._tell_loading if self.loading is not None else lambda _done: None
                served = open_model(self._settings, name, self._load_model, self._clock, told)
                self._loaded[name] = served
            return served

    def _load(self, name: str) -> StreamModel[Any]:
        from vivace.models import load_model

        settings = self._settings
        profile = settings.offered[name]
        if name != settings.default_model:
            return load_model(profile, threads=settings.threads)
        return load_model(profile, runtime=settings.runtime, threads=settings.threads, options=settings.loading)

    def _tell_loading(self, done: int) -> None:
        self.loading = Loading(self._settings.default_model, done, OPENING_STEPS)
