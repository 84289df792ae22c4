"""Pages as HTML: templates that escape everything, and the headers that a page has."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from worker.export.html.report import REPORT_TEMPLATES, add_filters
from worker.http.pages.layout.assets import asset_name
from worker.results.evaluations.page import EVALUATION_TEMPLATES

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Neither a script nor a style within a page: text that a page shows cannot become either."""

HTML = "text/html; charset=utf-8"
_TEMPLATES = Path(__file__).with_name("templates")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_TEMPLATES, REPORT_TEMPLATES, EVALUATION_TEMPLATES]),
        autoescape=True,
        auto_reload=False,  # or each page asks the file system whether its templates have changed
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    add_filters(environment)
    environment.globals["asset"] = asset_name
    return environment


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Return a page. `root` in a template is the path under which the service is mounted."""
    shared = {"root": request.scope.get("root_path", ""), "visitor": None, "path": request.url.path}
    text = _environment().get_template(template).render({**shared, **values})
    return Response(text, status, {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}, HTML)


def see_other(request: Request, path: str) -> Response:
    """Send the browser on to a page of this service, after a form was sent."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}{path}", 303, {"Cache-Control": "no-store"})


def own_path(text: str | None) -> str:
    """Return a path of this service to which a browser may be sent, `/` for anything that might be another site's."""
    if not text or len(text) > 2_000 or not text.startswith("/") or not text.isprintable() or not text.isascii():
        return "/"
    return "/" if text.startswith("//") or "\\" in text else text
