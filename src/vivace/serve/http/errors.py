"""One shape for every error: `{code, message}`, with the status its cause asks for."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from vivace import errors

_log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[errors.VivaceError], int], ...] = (
    (errors.ControlError, 422),
    (errors.UnknownModelError, 404),
    (errors.SessionClosedError, 410),
    (errors.UsageError, 400),
    (errors.DeviceError, 503),
    (errors.SinkWriteError, 507),
    (errors.SourceNotFoundError, 404),
    (errors.MediaError, 422),
)
"""Nearest class first."""

_BY_STATUS = {400: "bad_request", 404: "not_found", 405: "method", 413: "too_large", 415: "media_type"}


class ErrorBody(BaseModel):
    """Error as it is sent."""

    code: str
    message: str
    """For people: the value, and what to do."""
    retry_after_s: float | None = None
    reason: str = ""
    """Reason of the server's list, with the code `policy`."""


class ApiError(Exception):
    """A request that cannot be served, with its status."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})
        self.reason = reason

    def response(self) -> JSONResponse:
        """Return the answer."""
        headers = dict(self.headers)
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.retry_after_s is not None:
            body["retry_after_s"] = self.retry_after_s
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.reason:
            body["reason"] = self.reason
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(body, self.status, headers)


def api_error(error: errors.VivaceError) -> ApiError:
    """Return an error of Vivace as an answer."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    reason = error.reason if isinstance(error, errors.PolicyError) else ""
    return ApiError(status, error.code, str(error), retry_after_s=getattr(error, "retry_after_s", None), reason=reason)


def install_errors(app: FastAPI) -> None:
    """Answer every error of an app in the one shape."""

    async def vivace_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, errors.VivaceError)
        return api_error(error).response()

    async def own(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return error.response()

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return ApiError(422, "invalid", errors.describe_invalid(error.errors())).response()

    async def by_status(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, ApiError):  # raised while a body was read
            return error.__cause__.response()
        code = _BY_STATUS.get(error.status_code, "http")
        messages = {
            404: f"there is nothing at {request.url.path[:200]}",
            405: f"{request.method} is not for {request.url.path[:200]}",
        }
        message = messages.get(error.status_code, str(error.detail))
        return ApiError(error.status_code, code, message, headers=error.headers).response()

    async def bug(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return ApiError(500, "internal", "internal error of the server; its log says what. Try again.").response()

    app.add_exception_handler(errors.VivaceError, vivace_error)
    app.add_exception_handler(ApiError, own)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, by_status)
    app.add_exception_handler(Exception, bug)
