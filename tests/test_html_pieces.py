"""Pieces of HTML: well formed, escaped, and what they say."""

import base64
import html.parser
import io

import numpy as np
import pytest
from PIL import Image

from geodl_lab import html_pieces

EVIL = "<script>alert(1)</script>\"'&"


class Page(html.parser.HTMLParser):
    """What a browser makes of it: tags, attributes and texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize(
    "piece",
    [
        html_pieces.headline(EVIL, EVIL, ""),
        html_pieces.table([(EVIL, EVIL)]),
        html_pieces.folded(EVIL),
        html_pieces.swatches([(EVIL, EVIL)]),
        html_pieces.shares([(EVIL, EVIL, 0.5, EVIL)]),
        html_pieces.color_bar([EVIL, "#ffffff"], EVIL, EVIL, EVIL),
        html_pieces.thumbnail(np.zeros((2, 2, 4), np.uint8), EVIL),
    ],
)
def test_every_text_is_escaped_and_every_colour_is_one(piece):
    page = Page(html_pieces.panel(html_pieces.beside(piece, piece)))
    assert page.open == [] and "script" not in page.tags
    assert {name for name, _ in page.attributes} <= {"style", "src", "alt"}
    assert not any("alert" in value for name, value in page.attributes if name != "alt")
    assert any(EVIL in text for text in page.texts) or dict(page.attributes)["alt"] == EVIL


def test_many_classes_fold():
    lines = [(f"class {i}", "#123456") for i in range(html_pieces.FOLDED + 5)]
    page = Page(html_pieces.swatches(lines))
    assert page.tags.count("details") == 1 and "5 more classes" in page.texts
    page = Page(html_pieces.shares([(*line, 0.1, "") for line in lines]))
    assert page.tags.count("details") == 1 and sum("class " in text for text in page.texts) == 29
    assert "details" not in Page(html_pieces.swatches(lines[:3])).tags


def test_the_longest_bar_is_of_the_largest_share():
    page = html_pieces.shares([("a", "#ff0000", 0.4, "40 %"), ("b", "#00ff00", 0.1, "10 %")])
    assert "width:100.0%" in page and "width:25.0%" in page
    assert html_pieces.shares([]) and "width:0.0%" in html_pieces.shares([("a", "#ff0000", 0, "")])


def test_a_picture_is_in_the_page_itself():
    rgba = np.random.default_rng(0).integers(0, 255, (5, 7, 4)).astype(np.uint8)
    address = dict(Page(html_pieces.thumbnail(rgba, "a field")).attributes)["src"]
    stored = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(stored))), rgba)
