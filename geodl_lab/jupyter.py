"""What a Jupyter server loads: the status of this user's job server, and its tile of the launcher.

Light, as a Jupyter server holds it for as long as it runs: no torch, no libraries of rasters.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from geodl_lab._version import __version__
from geodl_lab.local_server import PROXIED, find_server, local_key

NAME = "geodl-lab"
"""Below a Jupyter server's address: where the job server is, and ``status``."""

ICON = Path(__file__).with_name("data") / "launcher.svg"
APP = ("notebooks/app.ipynb", "app.ipynb")
"""Where the app's notebook may lie, from the folder that Jupyter shows."""

START_S = 60
PATIENCE_S = 2.0


def job_server() -> dict[str, Any]:
    """Return what jupyter-server-proxy needs to start the job server from the launcher.

    Source: jupyter-server-proxy 4, "Making proxies: Server Process options".
    """
    return {
        "command": [sys.executable, "-W", "ignore", "-m", "geodl_lab.local_server", "{port}"],
        "timeout": START_S,
        "request_headers_override": proxied_headers,
        "launcher_entry": {
            "title": "geodl-lab jobs",
            "icon_path": str(ICON),
            "category": "Notebook",  # others show no icon
        },
    }


def app() -> dict[str, Any]:
    """Return what adds the app's tile, where its notebook lies in the folder Jupyter starts in.

    The tile leads to `AppHandler`; below its own name is the job server once more.
    """
    entry = {
        "title": "geodl-lab app",
        "icon_path": str(ICON),
        "category": "Notebook",
        "enabled": bool(find_app(Path.cwd())),
        "path_info": f"{NAME}/app",
    }
    return {**job_server(), "launcher_entry": entry}


def proxied_headers() -> dict[str, str]:
    """Return what is added to requests of a browser that is logged in: it never has the key."""
    return {"X-API-KEY": local_key(), PROXIED: "yes"}


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "geodl_lab.jupyter"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    base = url_path_join(app.web_app.settings["base_url"], NAME)
    # As Voila alone has them, for its own MathJax: in Jupyter it would ask a CDN for an older one.
    for name in ("mathjax_url", "mathjax_config"):
        app.web_app.settings.setdefault(name, None)
    app.web_app.add_handlers(
        ".*$", [(f"{base}/status", StatusHandler), (f"{base}/app", AppHandler)]
    )  # type: ignore[no-untyped-call]


class StatusHandler(APIHandler):
    """Tells who is logged in to Jupyter where the job server and the app are."""

    @web.authenticated
    async def get(self) -> None:
        """Answer ``version``, ``running``, ``url`` (of the server, by the proxy) and ``app``."""
        answer = {
            "version": __version__,
            "running": await is_running(),
            "url": url_path_join(self.base_url, NAME, "/"),
            "app": app_path(self) or None,
        }
        self.finish(answer)


class AppHandler(JupyterHandler):
    """Leads who is logged in to Jupyter to the app, wherever its notebook is."""

    @web.authenticated
    async def get(self) -> None:
        """Redirect to Voila's page of the app; 404 if its notebook is not there."""
        if path := app_path(self):
            self.redirect(path)
        else:
            names = " or ".join(APP)
            raise web.HTTPError(
                404, f"There is no {names} in Jupyter's folder; `geodl app` shows the app."
            )


def app_path(handler: JupyterHandler) -> str:
    """Return the path of the app below a Jupyter server, "" if its notebook is not there."""
    root = Path(str(handler.settings.get("server_root_dir", "."))).expanduser()
    name = find_app(root)
    return url_path_join(handler.base_url, "voila/render", name) if name else ""


def find_app(root: Path) -> str:
    """Return where the app's notebook is below a folder, "" if it is not there."""
    return next((name for name in APP if (root / name).is_file()), "")


async def is_running() -> bool:
    """Tell whether this user's job server answers."""
    server = find_server()
    if server is None:
        return False
    options: dict[str, Any] = {"ca_certs": server.ca_file} if server.ca_file else {}
    asked = AsyncHTTPClient().fetch(f"{server.url}/health", request_timeout=PATIENCE_S, **options)
    try:
        return (await asked).code == 200
    except (HTTPClientError, OSError):
        return False
