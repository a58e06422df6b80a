"""Networks that were uploaded become models. Imports torch: for workers only."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geodl_lab.deepomatic_spec import (
    ALSO,
    check_framework,
    check_outputs,
    check_post_processings,
    check_preprocessing,
)
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.jobs.resolved import Network
from geodl_lab.packages.archives import Files, hash_bytes, open_files
from geodl_lab.packages.deepomatic import make_models, raw_model, try_files
from geodl_lab.packages.installed import installed
from geodl_lab.packages.registry import open_model
from geodl_lab.runtime import Closed, Model


def open_network(
    network: Network, outputs: Any, post_processings: Any
) -> list[tuple[Model, float]]:
    """Return a model for each output, with the score down to which its candidates are kept.

    Parameters
    ----------
    network
        As it was uploaded.
    outputs, post_processings
        Of a specification and its version, plain JSON.

    Raises
    ------
    ModelError
        If a field is not possible, or the network cannot be run.
    TrustError
        If it is a program that the operator did not trust.
    """
    with _words_for_clients(network):
        models = make_models(
            Files(network.folder),
            network.framework,
            json.loads(network.preprocessing),
            outputs,
            post_processings,
            name=network.name,
            trust=is_trusted(network),
            opener=open_model,
        )
        models = tuple(map(_runnable, models))
    order = "yxyx" if network.framework.startswith("tensorflow") else "xyxy"
    readings = check_post_processings(post_processings, check_outputs(outputs), box_order=order)
    return [(model, one.discard) for model, one in zip(models, readings, strict=True)]


def open_raw(network: Network) -> Model:
    """Return a model to ask for its network's own tensors; errors as of `open_network`."""
    with _words_for_clients(network):
        model = raw_model(
            Files(network.folder),
            network.framework,
            json.loads(network.preprocessing),
            name=network.name,
            trust=is_trusted(network),
            opener=open_model,
        )
        return _runnable(model)


def try_network(network: Network) -> None:
    """Open a network, without a specification; errors as of `open_network`."""
    check_preprocessing(json.loads(network.preprocessing))
    with _words_for_clients(network):
        try_files(
            Files(network.folder),
            network.framework,
            name=network.name,
            trust=is_trusted(network),
            opener=open_model,
        )


def is_trusted(network: Network) -> bool:
    """Tell whether the operator trusts the very same file, or installed it with ``--trust``."""
    if (main := _main(network)) is None:
        return False
    if (sha256 := hash_bytes(main.read_bytes())) in network.trusted:
        return True
    files = open_files(main)
    if files.is_archive:
        content = {name: hash_bytes(files.read(name)) for name in files.members}
        return any(one.trusted and dict(one.hashes) == content for one in installed())
    return any(one.trusted and sha256 in one.hashes.values() for one in installed())


def _main(network: Network) -> Path | None:
    possible = (check_framework(network.framework), *ALSO.get(network.framework, ()))
    return next((file for name in possible if (file := network.folder / name).is_file()), None)


def _runnable(model: Model) -> Model:
    if isinstance(model.network, Closed):
        raise model.network.reason
    return model


@contextlib.contextmanager
def _words_for_clients(network: Network) -> Iterator[None]:
    """Say what the operator can do, where the package says what a caller of Python can."""
    try:
        yield
    except ModelError as error:
        words = str(error).removesuffix("; check bands= and window=")
        if (main := _main(network)) and isinstance(error, TrustError):
            sha256 = hash_bytes(main.read_bytes())
            trust = f"ask the operator to start the server with --trust {sha256}"
            words = re.sub(r"open it with trust=True \(sha256 \w+\)", trust, words)
        raise type(error)(words) from error
