"""Pages escape whatever is not ours."""

from geodl_lab.server.arcgis import html

EVIL = "\"'><script>x</script>&"


def test_everything_given_is_escaped():
    page = html.page(
        EVIL, html.table({EVIL: [EVIL, {EVIL: EVIL}]}), html.buttons({EVIL: EVIL}), token=EVIL
    )
    text = page.body.decode()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 9


def test_deep_values_end():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    assert html.table(deep).endswith("...</li></ol>" + "</li></ol>" * (html.DEEPEST))


def test_a_button_without_a_place_sends_the_page_again():
    assert html.buttons({"Send": ""}) == "<button>Send</button>"
