"""What a PEKAT port looks for and what it calls good: the project file, in JSON."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodl_lab import checks
from geodl_lab.errors import OptionError

DEFAULT_MODEL = "tree-crowns"
BACKGROUND = "background"
"""Name of a class that is never a defect unless the project says so."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """What is looked for, and the rule behind ``result``.

    ``result`` is true (good) when no more than ``max_defects`` objects or labels are defects, and
    defect classes cover no more than ``max_share`` of the photo.

    Parameters
    ----------
    model
        Name of a bundled or installed model, or a path; one with a slash is seen from the
        project file.
    threshold
        Least score 0..1, greater than which objects and labels count; None is the model's own.
    defects
        Labels that are defects; None is all but `BACKGROUND`.
    max_defects
        Defects that are still good, 0 or more.
    max_share
        Share of the photo, 0..1, that defect classes may cover and be good.
    colors
        ``#rrggbb`` by label, for pictures.
    processing
        Whether images are looked at; else only the bare context is answered.
    api_key
        A key of this project alone, beside those of the server; "" is none. None (``null``) asks
        for no key at the PEKAT port, which must then be for this machine only.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    OptionError
        If a value is not possible.
    """

    model: str = DEFAULT_MODEL
    threshold: float | None = None
    defects: tuple[str, ...] | None = None
    max_defects: int = 0
    max_share: float = 0.0
    colors: Mapping[str, str] = field(default_factory=dict)
    processing: bool = True
    api_key: str | None = field(default="", repr=False)
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_words(self)
        _check_numbers(self)

    def is_defect(self, label: str) -> bool:
        """Tell whether a label is a defect."""
        return label.lower() != BACKGROUND if self.defects is None else label in self.defects

    def check_labels(self, possible: tuple[str, ...]) -> None:
        """Raise OptionError if the project names a label that its model does not have."""
        named = {*(self.defects or ()), *self.colors}
        if unknown := sorted(named.difference(possible)):
            raise OptionError(
                f"the project names {', '.join(map(repr, unknown))}, which model {self.model!r} "
                f"does not find; possible are {', '.join(possible)}: correct the project file"
            )

    @property
    def public(self) -> Project:
        """The project without its key, as workers get it."""
        return dataclasses.replace(self, api_key="")


def load_project(file: Path) -> Project:
    """Return the project of a file; OptionError if it cannot be read or a value is not possible."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise OptionError(f"the project file {file} cannot be read: {reason}") from None
    except ValueError as error:
        raise OptionError(f"the project file {file} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise OptionError(f'the project file {file} is no object; write it like {{"model": "..."}}')
    names = [one.name for one in dataclasses.fields(Project)]
    if unknown := sorted(values.keys() - set(names)):
        raise OptionError(
            f"the project file {file} says {', '.join(map(repr, unknown))}; possible are "
            f"{', '.join(names)}"
        )
    try:
        return Project(**_values(values, file.parent))
    except OptionError as error:
        raise OptionError(f"the project file {file}: {error}") from None


def _values(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    values = dict(values)
    if isinstance(values.get("defects"), list):
        values["defects"] = tuple(values["defects"])
    model = values.get("model")
    if isinstance(model, str) and "/" in model:
        values["model"] = str((folder / model).resolve())
    return values


def _check_words(project: Any) -> None:
    if not isinstance(project.model, str) or not project.model:
        raise OptionError(f"model {project.model!r} is not possible; name one, as in 'tree-crowns'")
    defects = project.defects
    if defects is not None and not (isinstance(defects, tuple) and _are_words(defects)):
        raise OptionError(f"defects {defects!r} are not possible; give a list of labels, or null")
    if not isinstance(project.colors, Mapping):
        raise OptionError(f"colors {project.colors!r} are not possible; give colours by label")
    for label, color in project.colors.items():
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", str(color)):
            raise OptionError(f"the color {color!r} of {label!r} is not possible; write '#rrggbb'")
    if not isinstance(project.processing, bool):
        raise OptionError(f"processing {project.processing!r} is not possible; give true or false")
    key = project.api_key
    if key is not None and not (isinstance(key, str) and re.fullmatch(r"[\x21-\x7e]*", key)):
        raise OptionError(
            "api_key has blanks or letters that no HTTP header can hold; use letters, digits and "
            "signs of ASCII, or null for none"
        )
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", str(project.device)):
        raise OptionError(f"device {project.device!r} is not possible; give auto, cpu or cuda[:N]")


def _check_numbers(project: Any) -> None:
    for name in ("threshold", "max_share"):
        value = getattr(project, name)
        if value is None and name == "threshold":
            continue
        if not checks.is_number(value) or not 0 <= value <= 1:
            raise OptionError(f"{name} {value!r} is not possible; give a number from 0 to 1")
    most = project.max_defects
    if not checks.is_whole(most) or most < 0:
        raise OptionError(f"max_defects {most!r} is not possible; give 0, 1, 2, ...")


def _are_words(values: tuple[Any, ...]) -> bool:
    return all(isinstance(value, str) for value in values)
