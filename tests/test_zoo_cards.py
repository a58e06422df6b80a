"""The file of the bundled models' cards says what the models say."""

import json
import subprocess
import sys

from geodl_lab import zoo_cards
from geodl_lab._version import __version__


def test_the_file_is_that_of_the_models():
    made = json.loads(json.dumps(zoo_cards.make_cards()))
    written = json.loads(zoo_cards.FILE.read_text(encoding="utf-8"))
    assert written == made, "run: python -m geodl_lab.zoo_cards"


def test_cards_are_those_of_this_version_and_need_no_torch():
    code = (
        "import sys; from geodl_lab.zoo_cards import zoo_cards; cards = zoo_cards();"
        "assert 'torch' not in sys.modules;"
        "print({one['geodl_version'] for one in cards}, [one['reference'] for one in cards])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert __version__ in said.stdout and "'naip-landcover'" in said.stdout
