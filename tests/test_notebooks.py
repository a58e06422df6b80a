"""notebooks/*.ipynb as they are stored; that they run is nbmake's and the browser's to say."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
STORY = re.compile(r"\d\d_[a-z]+(_[a-z]+)*\.ipynb")
PLACES = re.compile(r"(?<![\w.}/:])/(?:work|home|root|tmp|mnt|usr|Users|data)\b|\.\./|~/|[A-Z]:\\")

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_of(notebook):
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def words_of(notebook):
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    return ["".join(cell["source"]) for cell in cells]


def test_nothing_that_ran_is_stored(path):
    notebook = read(path)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    assert not [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"]]
    about = {key: value for key, value in notebook["metadata"].items() if key != "title"}
    assert about == {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    assert not [cell["id"] for cell in notebook["cells"] if set(cell["metadata"]) - {"tags"}]


def test_cells_have_ids_of_their_own(path):
    notebook = read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", key) for key in ids)


def test_it_is_stored_as_one_way_writes_it(path):
    notebook = read(path)
    assert path.read_text(encoding="utf-8") == (
        json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    )


def test_no_place_of_one_machine_is_named(path):
    for cell in code_of(read(path)):
        assert not PLACES.search(cell), cell


def test_code_is_python_without_magics(path):
    for cell in code_of(read(path)):
        ast.parse(cell)


def test_a_story_has_one_title_and_links_that_lead_somewhere(path):
    words = words_of(read(path))
    if not STORY.fullmatch(path.name):
        pytest.skip("no story: an app")
    headings = [line for text in words for line in text.splitlines() if line.startswith("#")]
    assert [line.partition(" ")[0] for line in headings].count("#") == 1
    assert headings[0].startswith("# ")
    for target in re.findall(r"\]\(([^)#:]+)\)", "\n".join(words)):
        assert (path.parent / target).exists(), target
