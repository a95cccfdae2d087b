"""The body of a request to the page: short, whatever was promised."""

from __future__ import annotations

from starlette.requests import Request

BODY_MOST = 1024
"""Bytes of a press."""


async def read_body(request: Request) -> bytes | None:
    """The body; None when it is too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MOST:
            return None
    return body
