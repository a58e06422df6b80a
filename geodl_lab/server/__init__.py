"""The job server: one core, a thin face for each protocol."""

from __future__ import annotations

import importlib.util

from geodl_lab.errors import OptionError

NEEDS = ("fastapi", "uvicorn", "sqlalchemy", "pydantic", "python_multipart", "prometheus_client")
"""Libraries that not every installation has."""


def check_installed() -> None:
    """Raise OptionError if the libraries of the server are not there."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise OptionError(
            f"the server needs {', '.join(missing)}; install them with "
            "pip install 'geodl-lab[serve]'"
        )
