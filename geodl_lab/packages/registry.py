"""Find a model by name or path and open it once a process."""

from __future__ import annotations

import functools
from pathlib import Path, PurePosixPath

import torch

from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import Files, open_files
from geodl_lab.packages.emd import read_emd
from geodl_lab.packages.mlm import read_mlm
from geodl_lab.packages.native import read_native
from geodl_lab.runtime import Model

ZOO = Path(__file__).parent.parent / "zoo"


def open_model(model: str | Path | Model, *, trust: bool = False) -> Model:
    """Open a model by name or path.

    Parameters
    ----------
    model
        Name of a bundled model, a folder or file of a package, or a model already opened.
    trust
        True lets the file's own code run (TorchScript); say so only of files whose source you
        know.

    Returns
    -------
    Model
        Ready for ``da.dl.classify`` or ``da.dl.detect``.

    Raises
    ------
    ModelError
        If there is no such model or it is damaged.
    """
    if isinstance(model, Model):
        return model
    if isinstance(model, torch.nn.Module):
        raise ModelError(
            f"{type(model).__name__} is a bare module; say what it wants and gives first, as in "
            "geodl_lab.from_torch(module, bands=['red'], classes=['a', 'b'])"
        )
    if str(model) in list_models():
        return _open_bundled(str(model))
    if not _exists(model):
        raise ModelError(
            f"there is no model {str(model)[:200]!r}: bundled are {', '.join(list_models())}; or "
            "give the path of a package"
        )
    return _open_path(Path(model), trust=trust)


def list_models() -> list[str]:
    """Return the names of the bundled models."""
    return sorted(folder.name for folder in ZOO.iterdir() if _descriptions(Files(folder)))


@functools.cache
def _open_bundled(name: str) -> Model:
    # Shipped with the package, so as trusted as its own code.
    return _open_path(ZOO / name, trust=True)


def _open_path(path: Path, *, trust: bool) -> Model:
    files = open_files(path)
    names = [files.main] if files.main else _descriptions(files)
    if names and names[0].endswith(".json") and "type" in files.read_json(names[0]):
        return read_mlm(files, names[0], trust=trust)
    if names and PurePosixPath(names[0]).name == "model.json":
        return read_native(files, names[0])
    if names and names[0].endswith(".emd"):
        return read_emd(files, names[0], trust=trust)
    raise ModelError(
        f"{str(path)!r} is no model package; possible are a folder with model.json, an .emd or "
        "the .json of a STAC MLM item"
    )


def _exists(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except (TypeError, OSError, ValueError):  # no path at all, or one that no disk could hold
        return False


def _descriptions(files: Files) -> list[str]:
    """Return the names of what describes a package, at its root."""
    return [name for name in files.names if name == "model.json" or _is_emd(name)]


def _is_emd(name: str) -> bool:
    return name.endswith(".emd") and "/" not in name
