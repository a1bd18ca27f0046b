"""The HTTP face of a server: FastAPI's routes, which check, and hand on to the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from spad.cases import parsed_json
from spad.serving.limits import Refused
from spad.serving.runs import Run, State
from spad.serving.service import Service
from spad.serving.tokens import Tokens

__all__ = ["make_app"]

LONGEST_QUESTION = 2**22
SILENCE_S = 10.0
"""A run that goes on says something at least this often."""


def make_app(service: Service, tokens: Tokens) -> FastAPI:
    """Make the application; it starts and ends the service.

    Parameters
    ----------
    service : Service
    tokens : Tokens
    """

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        watch = asyncio.create_task(_look_after(service))
        try:
            yield
        finally:
            watch.cancel()
            service.close()

    app = FastAPI(lifespan=life, openapi_url=None)

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"code": error.code, "text": str(error)}, error.status)

    async def owner(request: Request) -> int:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        number = tokens.owner(given.strip() if scheme.lower() == "bearer" else "")
        if number is None:
            await asyncio.sleep(WRONG_TOKEN_S)
            raise Refused(
                401,
                "token",
                "it does not know this token: copy it again from who runs the server",
            )
        return number

    _add_about(app, service, owner)
    _add_runs(app, service, owner)
    return app


WRONG_TOKEN_S = 0.5
"""So long who guesses waits."""


async def _look_after(service: Service) -> None:
    while True:
        await asyncio.sleep(1)
        try:
            service.look_after()
        except Exception:  # the next second is another chance
            logging.getLogger("spad.serving").exception("looking after the runs")


def _add_about(app: FastAPI, service: Service, owner: Callable[..., Any]) -> None:
    @app.get("/health")
    async def health() -> JSONResponse:
        said = service.health()
        return JSONResponse(said, 200 if said["ok"] else 503)

    @app.get("/metrics", dependencies=[Depends(owner)])
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(service.metrics(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/hello", dependencies=[Depends(owner)])
    async def hello() -> dict[str, Any]:
        return service.hello()

    @app.put("/v1/models/{sha256}", dependencies=[Depends(owner)])
    async def take_model(sha256: str, request: Request) -> dict[str, Any]:
        content = bytearray()
        async for piece in request.stream():
            content += piece
            service.shelf.refuse_large(len(content))
        await run_in_threadpool(service.shelf.take, sha256, bytes(content))
        return {}


def _add_runs(app: FastAPI, service: Service, owner: Callable[..., Any]) -> None:
    @app.post("/v1/runs", status_code=201)
    async def ask(request: Request, whose: int = Depends(owner)) -> dict[str, Any]:
        content = await _question(request)
        return {"id": service.ask(whose, content).id}

    @app.put("/v1/runs/{id_}")
    async def arrays(id_: str, request: Request, whose: int = Depends(owner)) -> dict[str, Any]:
        run = service.find(whose, id_)
        if run.state is State.SENDING:  # else the desk has not heard that they have come
            await _take_arrays(run, request)
            await run_in_threadpool(service.queue_up, run)
        return {}

    @app.get("/v1/runs/{id_}")
    async def answer(
        id_: str,
        request: Request,
        whose: int = Depends(owner),
    ) -> StreamingResponse:
        run = service.find(whose, id_)
        start = _start(request.headers.get("range", ""), run)
        headers = {"Cache-Control": "no-store", "Content-Range": f"bytes {start}-*/*"}
        return StreamingResponse(
            _stream(run, start), 206, headers, media_type="application/octet-stream"
        )

    @app.delete("/v1/runs/{id_}")
    async def forget(id_: str, whose: int = Depends(owner)) -> dict[str, Any]:
        run = service.find(whose, id_)
        await run_in_threadpool(service.forget, run)
        return {}


async def _question(request: Request) -> dict[str, Any]:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > LONGEST_QUESTION:
            raise Refused(413, "size", f"a question has at most {LONGEST_QUESTION} bytes")
    try:
        asked = parsed_json(content)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise Refused(400, "message", "this is no question of SPAD's: update the older side")
    return asked


async def _take_arrays(run: Run, request: Request) -> None:
    """Write what comes; a desk that begins anew puts an end to its first try."""
    run.sender = mine = object()
    run.body.seek(0)
    run.body.truncate()
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if run.sender is not mine or run.body.closed:
            raise Refused(409, "message", "the arrays are sent a second time")
        if size > run.most:
            raise Refused(413, "size", f"more than {run.most} bytes have come, which were not said")
        run.seen = time.monotonic()
        run.body.write(piece)


def _start(range_: str, run: Run) -> int:
    """The byte that a desk wants to go on from."""
    text = range_.removeprefix("bytes=").removesuffix("-")
    start = int(text) if text.isdecimal() and len(text) < 16 else 0
    if start > run.size:
        raise Refused(416, "range", f"{run.size} bytes are answered, {start} were asked for")
    return start


async def _stream(run: Run, at: int) -> AsyncIterator[bytes]:
    """All that a run answers, as it comes; who listens last has it."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is the server
            loop.call_soon_threadsafe(news.set)

    run.news = wake
    run.listeners += 1
    try:
        while run.news is wake:
            news.clear()
            done = run.state is State.DONE or run.cancelled
            if piece := run.read(at):
                at += len(piece)
                yield piece
            elif done:
                return
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), SILENCE_S / 2)
                if run.quiet_s() > SILENCE_S / 2 and run.state is not State.DONE:
                    run.tell("alive")
    finally:
        run.listeners -= 1
        run.seen = time.monotonic()
