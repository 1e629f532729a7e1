"""What a browser is served: the console at ``/``, the browser client at ``/client/``, the API's page at ``/docs``,
the stream's document at ``/asyncapi.json``.

All of it from this machine: nothing is fetched from elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles

from hub.transports import asyncapi

_CONSOLE = Path(__file__).parent.parent / "console"


def install(app: FastAPI) -> None:
    """Add the pages to the app."""

    @app.get("/", include_in_schema=False)
    async def console() -> FileResponse:
        return FileResponse(_CONSOLE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title="Notification hub: API",
            swagger_js_url="docs/assets/swagger-ui-bundle.js",
            swagger_css_url="docs/assets/swagger-ui.css",
            swagger_favicon_url="docs/assets/favicon-32x32.png",
        )

    @app.get("/asyncapi.json", include_in_schema=False)
    async def stream_document() -> JSONResponse:
        return JSONResponse(asyncapi.document(app.version))

    app.mount("/docs/assets", StaticFiles(packages=[("fastapi_swagger", "resources")]))
    app.mount("/client", StaticFiles(directory=_client_directory()))
    app.mount("/console", StaticFiles(directory=_CONSOLE))


def _client_directory() -> Path:
    """The browser client: inside the installed package, or beside it in a checkout."""
    installed = _CONSOLE / "client"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "clients" / "js" / "src"
