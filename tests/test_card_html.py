import html.parser
import re

from geodl_lab.card_html import html as card_html
from geodl_lab.card_html import list_html
from geodl_lab.cards import card
from geodl_lab.errors import TrustError
from geodl_lab.html_pieces import FOLDED
from geodl_lab.inputs import InputSpec
from geodl_lab.package import Field, ModelPackage, make_classes
from geodl_lab.runtime import Closed, Model

ALLOWED = {"div", "b", "table", "tr", "td", "span", "details", "summary"}
EVIL = "<script>alert(1)</script><img src=x onerror='alert(1)'>\"'&"


def make(network=None, *, names=("a", "b"), **said):
    facts = {
        "name": "net", "task": "classify", "inputs": InputSpec(("red", "nir")),
        "classes": make_classes(names), "window": 64, "field": Field(True, stride=8, halo=16),
    }  # fmt: skip
    return Model(ModelPackage(**{**facts, **said}), network)


class Page(html.parser.HTMLParser):
    """What a browser makes of it: tags, attributes and texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts, self.folded = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.folded if "details" in self.open else self.texts).append(data)


def test_it_is_well_formed_and_without_script():
    page = Page(make(names=list("abc"))._repr_html_())
    assert page.open == [] and set(page.tags) <= ALLOWED
    assert {name for name, _ in page.attributes} == {"style"}


def test_every_text_of_a_package_is_escaped():
    evil = make(
        Closed(TrustError(EVIL)), names=[EVIL], name=EVIL, version=EVIL,
        inputs=InputSpec((EVIL,)), sha256=EVIL,
        about={key: EVIL for key in ("title", "description", "license", "attribution", "accuracy")},
    )  # fmt: skip
    page = Page(evil._repr_html_())
    assert page.open == [] and set(page.tags) <= ALLOWED
    assert {name for name, _ in page.attributes} == {"style"}
    assert sum(EVIL in text for text in page.texts + page.folded) >= 9
    assert EVIL in "".join(Page(card_html(card(make(), format=EVIL))).folded)


def test_classes_are_swatches_and_many_fold():
    page = Page(make(names=[f"class {i}" for i in range(200)])._repr_html_())
    boxes = [value for _, value in page.attributes if "background:#" in value]
    assert len(boxes) == 200
    assert sum(bool(re.search(r"class \d", text)) for text in page.texts) == FOLDED
    assert f"{200 - FOLDED} more classes" in page.folded
    assert "more classes" not in make()._repr_html_()


def test_what_matters_first_is_not_folded():
    page = Page(make()._repr_html_())
    assert {"gives", "wants"} <= set(page.texts) and "windows" in page.folded
    assert "runs" in page.folded
    closed = Page(make(Closed(TrustError("not trusted")))._repr_html_())
    assert "no: not trusted" in closed.texts


def test_it_is_readable_on_light_and_dark():
    colours = [v for _, v in Page(make()._repr_html_()).attributes if "color:" in v]
    assert all("color:inherit" in value or "background:#" in value for value in colours)


def test_several_models_are_a_table_with_a_row_each():
    evil = make(names=[EVIL], name=EVIL, version=EVIL, about={"title": EVIL})
    cards = [card(make(names=list("abcdefghijkl"))), card(evil, installed="2026-11-20")]
    page = Page(list_html(cards))
    assert page.open == [] and set(page.tags) <= ALLOWED | {"th"}
    assert page.tags.count("tr") == 3 and {name for name, _ in page.attributes} == {"style"}
    said = "\n".join(page.texts)
    assert "a, b, c, d, ... (12)" in said and "bundled" in said and "installed 2026-11-20" in said
