"""Logs: one line for each event, with the ids of request and job, and never a key or a token.

A line has the message and the fields that were given as ``extra=``: ``log.info("done",
extra={"job": job.id, "seconds": 3.2})``.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from contextvars import ContextVar
from typing import Any

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""Id of the request that is being answered."""

SECRETS = re.compile(
    r"((?:token|password|api[_-]?key|admin[_-]?key)[\"']?\s*[=:]\s*[\"']?|bearer\s+)"
    r"[^\s&\"',;)}]+",
    re.IGNORECASE,
)
"""What must not be written, wherever it stands in a message."""

_PLAIN = re.compile(r"[\w.:/+\-@*%]+", re.ASCII)
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}
_LOUD = ("asyncio", "httpx", "httpcore", "distributed", "rasterio", "sqlalchemy", "tornado")


def set_up(*, format: str = "text", level: str = "info") -> None:
    """Write the logs of this process to stderr, ours from ``level``, others' from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:], root.level = [handler], logging.WARNING
    for name in ("geodl_lab", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("geodl_lab").setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # anybody can cause its warnings
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a line holds, by name, without secrets."""
    extra = {name: value for name, value in vars(record).items() if name not in _USUAL}
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        + f".{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _clean(record.getMessage()),
        **{name: _value(value) for name, value in extra.items() if value not in ("", None)},
    }
    if "request" not in line and (request := REQUEST.get()):
        line["request"] = request
    if record.exc_info:
        line["error"] = _clean(logging.Formatter().formatException(record.exc_info))
    return line


class TextFormatter(logging.Formatter):
    """A line as ``name=value``, with quotes where a value needs them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return " ".join(f"{name}={_quoted(value)}" for name, value in fields(record).items())


class JsonFormatter(logging.Formatter):
    """A line as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(fields(record), ensure_ascii=False, default=str)


def _value(value: Any) -> Any:
    return value if isinstance(value, (int, float, bool)) else _clean(str(value))


def _quoted(value: Any) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _clean(text: str) -> str:
    return SECRETS.sub(r"\1***", text)
