"""What the documentation's build adds to the pages in ``docs/``: parts of the project from elsewhere, the references.

- READMEs, the changelog and the benchmark's results are pages of the site, too, and links between all of them work in
  the repository and in the site. A link to source code keeps its words and loses its target.
- ``reference/http.html`` and ``reference/stream.html`` render the OpenAPI and the AsyncAPI document of this very code.
- ``explanation/modules.svg`` is drawn from the imports.

Everything that a page loads is in the built folder: nothing comes from elsewhere.
"""

from __future__ import annotations

import json
import posixpath
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from hub.app import Application
from hub.settings import Settings
from hub.transports import asyncapi

SITE = Path(__file__).parent
ROOT = SITE.parents[1]
sys.path.insert(0, str(SITE))

import architecture  # noqa: E402  (beside this file, which is no package)

_ELSEWHERE = (
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "benchmarks/README.md",
    "benchmarks/results/*",
    "clients/*/README.md",
    "examples/README.md",
    "deploy/README.md",
)
_SHIM = "https://unpkg.com/iframe-worker/shim"
_LINK = re.compile(r"(?P<image>!?)\[(?P<words>[^\]\n]*(?:\n[^\]\n]+)?)\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"(```.*?```)", re.DOTALL)
_STYLE = "body{margin:0;font:16px/1.5 system-ui,sans-serif}nav{padding:.7rem 1rem;border-bottom:1px solid #8886}"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the pages from elsewhere in."""
    for pattern in _ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                place = _place(path.relative_to(ROOT).as_posix())
                files.append(File.generated(config, place, abs_src_path=str(path)))
    files.append(File.generated(config, "explanation/modules.svg", content=architecture.draw(ROOT)))
    for file in _references(config):
        files.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make the links of the repository links of the site."""
    here = page.file.src_uri
    origin = _origin(here)

    def mend(found: re.Match[str]) -> str:
        target, _, anchor = found["target"].partition("#")
        if not target or ":" in target:
            return found[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        place = _place(wanted)
        if files.get_file_from_path(place) is None:
            return found["words"]
        link = posixpath.relpath(place, posixpath.dirname(here) or ".")
        return f"{found['image']}[{found['words']}]({link}{'#' + anchor if anchor else ''})"

    parts = _CODE.split(markdown)
    return "".join(part if index % 2 else _LINK.sub(mend, part) for index, part in enumerate(parts))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The search of a page that was opened as a file needs a shim, which the theme would fetch from elsewhere."""
    return output.replace(_SHIM, posixpath.relpath("assets/shim.js", posixpath.dirname(page.file.dest_uri) or "."))


def _references(config: MkDocsConfig) -> Iterator[File]:
    """The pages of the two documents, and what they load."""
    app = _app()
    swagger = Path(str(package_files("fastapi_swagger"))) / "resources"
    packages = SITE / "node_modules"
    if not packages.is_dir():
        raise PluginError("`make docs` installs what the pages load; call that.")
    component = packages / "@asyncapi" / "react-component"
    for name, path in (
        ("swagger.js", swagger / "swagger-ui-bundle.js"),
        ("swagger.css", swagger / "swagger-ui.css"),
        ("asyncapi.js", component / "browser" / "standalone" / "index.js"),
        ("asyncapi.css", component / "styles" / "default.min.css"),
    ):
        yield File.generated(config, f"reference/assets/{name}", abs_src_path=str(path))
    yield File.generated(config, "assets/shim.js", abs_src_path=str(packages / "iframe-worker" / "shim" / "index.js"))
    options = "dom_id:'#reference',deepLinking:true,supportedSubmitMethods:[]"
    call = f"SwaggerUIBundle({{spec:{_inline(app.openapi())},{options}}})"
    yield File.generated(config, "reference/http.html", content=_page("The HTTP API", "swagger", call))
    document = _inline(asyncapi.document(app.version))
    call = f"AsyncApiStandalone.render({{schema:{document}}},document.getElementById('reference'))"
    yield File.generated(config, "reference/stream.html", content=_page("The stream", "asyncapi", call))


def _app() -> FastAPI:
    with tempfile.TemporaryDirectory() as directory:
        return Application(Settings(data_dir=Path(directory))).app


def _inline(document: dict[str, Any]) -> str:
    # "</script>" in a text would end the script.
    return json.dumps(document).replace("</", "<\\/")


def _page(title: str, assets: str, call: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} · Notification hub</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="assets/{assets}.css">'
        f'<style>{_STYLE}</style><nav><a href="../index.html">Notification hub</a> · {title}</nav>'
        f'<div id="reference"></div><script src="assets/{assets}.js"></script><script>{call}</script></html>\n'
    )


def _place(path: str) -> str:
    """Where the site has a file of the repository."""
    return path.removeprefix("docs/") if path.startswith("docs/") else f"project/{path}"


def _origin(place: str) -> str:
    """The file of the repository that a page is."""
    return place.removeprefix("project/") if place.startswith("project/") else f"docs/{place}"
