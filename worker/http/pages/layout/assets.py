"""The style sheet and the scripts of the pages, each under a name that changes with its content."""

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from worker.export.html.report import style_sheet
from worker.http.problems import NO_SUCH_THING, NOT_FOUND, ProblemError

router = APIRouter(include_in_schema=False)

_STATIC = Path(__file__).with_name("static")
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
IMMUTABLE = "public, max-age=31536000, immutable"


@cache
def _assets() -> dict[str, tuple[bytes, str]]:
    """Return content and media type of each asset by its name, which has a part of its SHA-256."""
    contents = {
        "pages.css": f"{style_sheet()[0]}\n{(_STATIC / 'pages.css').read_text()}".encode(),
        **{name: (_STATIC / name).read_bytes() for name in ("live.js", "refresh.js")},
    }
    named: dict[str, tuple[bytes, str]] = {}
    for name, content in contents.items():
        stem, _, ending = name.partition(".")
        named[f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{ending}"] = content, _TYPES[ending]
    return named


@cache
def asset_name(name: str) -> str:
    """Return the present name of `pages.css`, `live.js` or `refresh.js`."""
    stem, _, ending = name.partition(".")
    return next(found for found in _assets() if found.startswith(f"{stem}.") and found.endswith(f".{ending}"))


@router.get("/static/{name}")
async def get_asset(name: str) -> Response:
    """Return the style sheet or a script."""
    found = _assets().get(name)
    if found is None:
        raise ProblemError(NOT_FOUND, NO_SUCH_THING)
    return Response(found[0], 200, {"Cache-Control": IMMUTABLE}, found[1])
