"""The page's addresses: the page itself, what the models are, and the answer to an upload."""

import logging
import traceback
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from btlib.errors import InputError
from btlib.web.guards import HOSTS, BodyLimit, OwnPageOnly, SecurityHeaders
from btlib.web.predictors import Predictors
from btlib.web.uploads import MAX_BYTES, MAX_FILES, Upload, unpacked

STATIC = Path(__file__).parent / "static"
REMEDY = "Send one image, the four scans of a case, or one .zip of a study"
INTERNAL = "something went wrong inside btlib; nothing was kept. The terminal of btlib serve says where it happened"
LOG = logging.getLogger("btlib.web")


def create_app(models: Path) -> FastAPI:
    """The page over the model folders `classifier` and `joint` in `models`, which are loaded now.

    Raises:
        InputError: a model folder is damaged. A missing one is no error: the page says what to run.
    """
    return app_for(Predictors.load(models))


def app_for(predictors: Predictors) -> FastAPI:
    """The page over loaded models."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # their pages load scripts from elsewhere
    one_at_a_time = CapacityLimiter(1)  # or the memory for answers would have no bound

    @app.get("/api/models")
    def models() -> dict[str, Any]:
        return {**predictors.described(), "max_bytes": MAX_BYTES, "max_files": MAX_FILES}

    @app.post("/api/answer")
    async def answer(request: Request) -> JSONResponse:
        async with request.form(max_files=MAX_FILES, max_fields=0) as form:  # leaving it removes what was spooled
            uploads = [Upload(file.filename or "", file.file) for file in form.getlist("files")]
            return await to_thread.run_sync(_answered, predictors, uploads, limiter=one_at_a_time)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        remedy = f" {REMEDY}" if error.status_code == 400 else ""  # a form that cannot be read, or with too many files
        return JSONResponse({"error": f"{error.detail}{remedy}"}, error.status_code)

    app.mount("/", StaticFiles(directory=STATIC, html=True))
    # the last one added is the first that a request meets
    app.add_middleware(BodyLimit, limit=MAX_BYTES)
    app.add_middleware(OwnPageOnly)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    app.add_middleware(SecurityHeaders)
    return app


def _answered(predictors: Predictors, uploads: list[Upload]) -> JSONResponse:
    """200 with the answer, 422 with what is wrong with the upload, 500 with nothing about the inside."""
    try:
        with unpacked(uploads) as folder:
            return JSONResponse(predictors.answer(folder))
    except InputError as error:
        return JSONResponse({"error": str(error)}, 422)
    except Exception as error:
        # where, but not the message, which may quote the upload
        LOG.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        return JSONResponse({"error": INTERNAL}, 500)
