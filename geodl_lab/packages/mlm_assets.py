"""Which file of a STAC item holds the model, and whether it is the file that was meant."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import Files
from geodl_lab.packages.mlm_values import short, typed
from geodl_lab.packages.weights import ENDINGS

ROLE = "mlm:model"
ARTIFACTS: Mapping[str, tuple[str, ...]] = {
    "torch.jit.save": (".pt", ".pth"),
    "torch.jit.script": (".pt", ".pth"),
    "torch.jit.trace": (".pt", ".pth"),
    "torch.export": (".pt2",),
    "torch.export.save": (".pt2",),
    "torch.save": (".pt", ".pth"),
    "safetensors": (".safetensors",),
    "safetensors.torch.save_file": (".safetensors",),
    "onnx": (".onnx",),
    "onnx.save": (".onnx",),
    "torch.compile": (),
    "tf.keras.Model.save": (),
    "tf.keras.Model.save_weights": (),
    "tf.keras.Model.export": (),
    "pickle.dump": (),
    "joblib.dump": (),
}
"""Values of ``mlm:artifact_type`` and the endings that their files have; none: not run here."""

# Codes of the multihash table, as hexadecimal text: function and length of the digest.
_HASHES: Mapping[str, Callable[[bytes], Any]] = {
    "1114": hashlib.sha1,
    "1220": hashlib.sha256,
    "1340": hashlib.sha512,
}


@dataclass(frozen=True)
class Asset:
    """The file that holds the model.

    Parameters
    ----------
    key
        Its key in the item.
    file
        Its name in the package.
    text
        What the item says about it.
    """

    key: str
    file: str
    text: Mapping[str, Any] = field(default_factory=dict)


def model_asset(files: Files, item: Mapping[str, Any], *, beside: str) -> Asset:
    """Return the first asset with the role ``mlm:model`` whose file is here and can be run.

    Parameters
    ----------
    files
        The package.
    item
        The STAC item.
    beside
        Its name, which references are relative to.

    Raises
    ------
    ModelError
        If there is none, with the reason of each; or if the file is not the one that was meant.
    """
    assets = typed(item.get("assets"), dict, "assets")
    reasons = []
    for key, text in assets.items():
        if not isinstance(text, dict) or ROLE not in _roles(text):
            continue
        try:
            asset = Asset(key, _file(files, text, beside), text)
        except ModelError as error:
            reasons.append(f"{key!r}: {error}")
        else:
            _check_content(files.read(asset.file), asset)
            return asset
    if not reasons:
        raise ModelError(f"the item has no asset with the role {ROLE!r}; give it to the weights")
    raise ModelError(f"no model asset can be run here ({'; '.join(reasons)})")


def _roles(text: Mapping[str, Any]) -> list[Any]:
    roles = text.get("roles")
    return roles if isinstance(roles, list) else []


def _file(files: Files, text: Mapping[str, Any], beside: str) -> str:
    """Return the name in the package of an asset's file."""
    href = typed(text.get("href"), str, "href")
    if "://" in href:
        raise ModelError(
            f"it lies at {href[:200]!r}; download it beside the item and name it there"
        )
    name = _inside(files, unquote(href))
    ending = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    artifact = text.get("mlm:artifact_type")
    possible = ARTIFACTS.get(artifact, ENDINGS) if isinstance(artifact, str) else ENDINGS
    if not possible:
        raise ModelError(f"{artifact!r} cannot be run here; convert it to ONNX")
    if ending not in possible:
        raise ModelError(
            f"{name[:200]!r} is no file of {artifact or 'a kind that can be run'}; possible are "
            f"names that end in {', '.join(possible)}"
        )
    return files.find(name, beside=beside)


def _inside(files: Files, name: str) -> str:
    """Make an absolute path relative if it lies in the package; `Files.find` refuses others."""
    path = Path(name)
    if "\x00" not in name and path.is_absolute() and path.is_relative_to(files.path.resolve()):
        return path.relative_to(files.path.resolve()).as_posix()
    return name


def _check_content(content: bytes, asset: Asset) -> None:
    size, checksum = asset.text.get("file:size"), asset.text.get("file:checksum")
    if size is not None and size != len(content):
        raise ModelError(
            f"{asset.file!r} has {len(content)} bytes and the item says {short(size)}; get the "
            "model again"
        )
    if checksum is None:
        return
    text = typed(checksum, str, "file:checksum").lower()
    if text[:4] not in _HASHES:
        raise ModelError(
            f"file:checksum {text[:100]!r} cannot be checked; possible are multihashes that begin "
            f"with {', '.join(_HASHES)} (sha1, sha256, sha512)"
        )
    if text[4:] != _HASHES[text[:4]](content).hexdigest():
        raise ModelError(f"{asset.file!r} is not the file that the item means (file:checksum); get "
                         "the model again")  # fmt: skip
