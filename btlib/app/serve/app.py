"""Routes of the server: the page, model descriptions, predictions for uploads, and their place in the queue."""

import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from anyio import create_task_group
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from btlib.app.serve.guards import HOSTS, BodyLimit, OwnPageOnly, SecurityHeaders
from btlib.app.serve.line import Line, LineFull
from btlib.app.serve.names import last_part
from btlib.app.serve.uploads import MAX_BYTES, MAX_FILES, Upload, stored
from btlib.app.serve.worker import Bug, Reply
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.isolation import Lost

STATIC = Path(__file__).parent / "static"
MAX_WAITING_BYTES = 4 * MAX_BYTES  # of all uploads together, on disk
MAX_CHOICE = 2**14  # characters
TICKET = re.compile(r"[0-9a-f]{1,64}")
REMEDY = "Send one image, the four scans of a case, or one .zip of a study"
INTERNAL = "internal error of btlib; nothing was kept. See the terminal of btlib serve for details"
FULL = "too many uploads are waiting; try again in a few minutes"
LOG = logging.getLogger("btlib.app.serve")


class Answering(Protocol):
    """As `btlib.app.serve.worker.Worker`."""

    def start(self) -> dict[str, Any]: ...

    async def answer(self, place: Path, choice: str) -> Reply | Lost: ...


def app_for(worker: Answering) -> FastAPI:
    """The web application; `worker` loads its models now and answers the uploads.

    Raises:
        InputError: a model folder is damaged. A missing one is no error: the page shows the command to create it.
    """
    about = {**worker.start(), "max_bytes": MAX_BYTES, "max_files": MAX_FILES}
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # their pages load external scripts
    line = Line()

    @app.get("/api/models")
    async def models() -> dict[str, Any]:
        return about

    @app.get("/api/queue/{ticket}")
    async def queue(ticket: str) -> dict[str, int | None]:
        return {"before": line.before(_checked(ticket))}

    @app.post("/api/answer")
    async def answer(request: Request) -> Response:
        ticket = _checked(request.headers.get("x-ticket", "0"))
        form = await _form(request)
        try:
            files = [file for file in form.getlist("files") if not isinstance(file, str)]
            uploads = [Upload(file.filename or "", file.file) for file in files]
            choice = str(form.get("choice", ""))[:MAX_CHOICE]

            async def in_turn() -> Response:
                try:
                    async with line.turn(ticket):
                        return await _answer(worker, uploads, choice)
                except LineFull:
                    return JSONResponse({"error": FULL}, 503)

            return await _cancel_on_disconnect(request, in_turn)
        finally:
            await form.close()  # removes spooled files

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        remedy = f" {REMEDY}" if error.status_code == 400 else ""  # malformed form, or too many files
        return JSONResponse({"error": f"{error.detail}{remedy}"}, error.status_code)

    @app.exception_handler(ClientDisconnect)
    async def left(*_: Any) -> Response:
        return Response()  # never received

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return _failure(_where(error))

    app.mount("/", StaticFiles(directory=STATIC, html=True))
    # the last one added is the first to see a request
    app.add_middleware(BodyLimit, limit=MAX_BYTES, together=MAX_WAITING_BYTES)
    app.add_middleware(OwnPageOnly)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    app.add_middleware(SecurityHeaders)
    return app


def _checked(ticket: str) -> str:
    if not TICKET.fullmatch(ticket):
        raise HTTPException(422, "A ticket has up to 64 hexadecimal digits.")
    return ticket


async def _form(request: Request) -> FormData:
    try:
        return await request.form(max_files=MAX_FILES, max_fields=1)
    except (HTTPException, ClientDisconnect):
        raise
    except Exception:  # parsers raise almost any type
        raise HTTPException(400, "Malformed form.") from None


async def _cancel_on_disconnect(request: Request, work: Callable[[], Awaitable[Response]]) -> Response:
    """The response of `work`, which must not raise and is cancelled when the client disconnects."""
    response = Response()  # never received

    async with create_task_group() as tasks:

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        response = await work()
        tasks.cancel_scope.cancel()
    return response


async def _answer(worker: Answering, uploads: Sequence[Upload], choice: str) -> Response:
    """200 with the answer, 422 with the fault of the upload, or 500 without internal details."""
    try:
        async with stored(uploads) as place:
            found = await worker.answer(place, choice)
    except InputError as error:
        return JSONResponse({"error": str(error)}, 422)
    except Bug as error:
        return _failure(str(error))
    except Exception as error:
        return _failure(_where(error))
    if isinstance(found, Lost):
        return JSONResponse({"error": f"{_name(uploads)}: {found.reason}"}, 422)
    return Response(found.body, found.status, media_type="application/json")


def _name(uploads: Sequence[Upload]) -> str:
    return last_part(uploads[0].name) if len(uploads) == 1 else f"one of the {len(uploads)} files"


def _where(error: Exception) -> str:
    """Type and traceback, without the message, which may quote the upload."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"


def _failure(where: str) -> JSONResponse:
    LOG.error("%s", where)
    return JSONResponse({"error": INTERNAL}, 500)
