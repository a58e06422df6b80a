"""Networks of one's own: uploaded files, what they are fed, and the task of their deployment."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile

from geodl_lab.deepomatic_spec import (
    ALSO,
    ImageInput,
    check_framework,
    check_preprocessing,
)
from geodl_lab.errors import AccessError, GeodlError
from geodl_lab.fetch import disk_errors
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.documents import Document, Transaction
from geodl_lab.jobs.job import Caller
from geodl_lab.jobs.recipes import Deploy
from geodl_lab.json_fields import flag
from geodl_lab.server.deepomatic.bodies import Body, structured
from geodl_lab.server.deepomatic.documents import (
    EVERYBODY,
    NETWORK,
    VERSION,
    get,
    id_of,
    listed,
    named,
    refuse_others,
    required,
    with_numbers,
)
from geodl_lab.server.deepomatic.errors import FieldError, about
from geodl_lab.server.deepomatic.inference import Target, tensors_of
from geodl_lab.server.deepomatic.versions import remove
from geodl_lab.server.deepomatic.words import Row, Window, date

EDITABLE = ("name", "description", "metadata")


def rows(core: Core, caller: Caller, window: Window) -> tuple[int, list[Row]]:
    """Return how many there are, and those of a window."""
    return listed(core, caller, NETWORK, window, _worded)


def show(core: Core, caller: Caller, id: str) -> Row:
    """Return one; raises FieldError or AccessError where there is none."""
    return _worded(get(core, caller, NETWORK, id))


def create(core: Core, caller: Caller, body: Body) -> Row:
    """Keep a new one with its files, and queue its deployment.

    Raises
    ------
    FieldError
        If a field is not possible, or a file that the framework needs is missing.
    GeodlError
        If the server does not take it; then nothing is kept.
    """
    values = _checked(body)
    with about("files"), _written(core, body.files) as files:
        made = core.documents.add(NETWORK, caller.owner, values, files=files)
    request = {"protocol": "deepomatic", "task": "deployment", "parameters": {"network": made.id}}
    try:
        job = core.submit(Deploy(made.id), caller, request=request)
    except GeodlError:
        core.documents.delete(NETWORK, made.id, caller)
        raise
    return _worded(core.documents.update(NETWORK, made.id, caller, {"task_id": job.id}))


def edit(core: Core, caller: Caller, body: Body, id: str) -> Row:
    """Change name, description or metadata."""
    number = id_of(id, NETWORK)

    def change(transaction: Transaction) -> Document:
        known = transaction.get(NETWORK, number, caller).values
        refuse_others(body, EDITABLE, known)
        return transaction.update(NETWORK, number, caller, named(body.values, known))

    return _worded(core.documents.write(change))


def delete(core: Core, caller: Caller, id: str) -> None:
    """Remove one with its files and its versions; its deployment is cancelled."""
    number = id_of(id, NETWORK)
    task = core.documents.get(NETWORK, number, caller).values.get("task_id")

    def change(transaction: Transaction) -> None:
        for version in transaction.list(VERSION, EVERYBODY, network_id=number)[1]:
            remove(transaction, version.id)
        transaction.delete(NETWORK, number, caller)

    core.documents.write(change)
    with contextlib.suppress(AccessError):  # a task that was removed by age
        core.cancel(core.job(str(task), caller))


def target(core: Core, caller: Caller, body: Body, id: str) -> Target:
    """Return what a network looks at images with; raises FieldError or AccessError."""
    network = get(core, caller, NETWORK, id)
    return Target(network=network.id, arguments={"output_tensors": tensors_of(body)})


def _checked(body: Body) -> Row:
    """Return the values of a new network; raises FieldError."""
    required(body, ("name", "framework", "preprocessing"))
    framework = body.values["framework"]
    with about("framework"):
        main = check_framework(framework)
    given = structured(body.values["preprocessing"], "preprocessing")
    with about("preprocessing"):
        image = check_preprocessing(given).image
    _check_files(body.files, (main, *ALSO.get(framework, ())), image)
    others = structured(body.values.get("postprocessings"), "postprocessings") or []
    if not isinstance(others, list):
        raise FieldError("postprocessings is no list; give one", field="postprocessings")
    return {
        **named(body.values),
        "framework": framework,
        "preprocessing": _typed(given),
        "postprocessings": others,
        "task_id": None,
    }


def _check_files(
    files: Mapping[str, UploadFile], mains: tuple[str, ...], image: ImageInput
) -> None:
    have = ", ".join(map(repr, sorted(files)))[:300] or "none"
    if not set(mains) & set(files):
        raise FieldError(
            f"the framework needs a file {' or '.join(mains)}; sent were {have}", field=mains[0]
        )
    if image.mean_file and image.mean_file not in files:
        raise FieldError(
            f"preprocessing names the mean_file {image.mean_file[:100]!r}; sent were {have}",
            field="preprocessing",
        )
    for name, file in files.items():
        if not file.size:
            raise FieldError(f"the file {name[:100]!r} is empty; send it again", field=name[:100])


@contextlib.contextmanager
def _written(core: Core, uploads: Mapping[str, UploadFile]) -> Iterator[dict[str, Path]]:
    """Give uploads as files of the disk on which documents are."""
    with tempfile.TemporaryDirectory(dir=core.options.data_dir, prefix=".upload-") as folder:
        files = {name: Path(folder, str(place)) for place, name in enumerate(uploads)}
        with disk_errors(Path(folder)):
            for name, path in files.items():
                with path.open("wb") as file:
                    shutil.copyfileobj(uploads[name].file, file, 2**20)
        yield files


def _typed(preprocessing: Any) -> Row:
    """Return what was checked with numbers and booleans as such, as forms send only text."""
    inputs = with_numbers(preprocessing["inputs"])
    batched = flag(preprocessing.get("batched_output", True), "batched_output")
    return {"inputs": inputs, "batched_output": batched}


def _worded(network: Document) -> Row:
    keys = ("name", "description", "metadata", "framework", "preprocessing", "postprocessings")
    said = network.values
    return {
        "id": network.id,
        **{key: said[key] for key in keys},
        "task_id": said["task_id"],
        "create_date": date(network.created),
        "update_date": date(network.updated),
    }
