"""Labels as text."""

from xml.etree import ElementTree

from geodl_lab.exports.annotations import Labelled, kitti, voc


def test_a_kitti_line_has_15_columns_and_the_box_in_5_to_8():
    (line,) = kitti([Labelled("3", (1, 2.255, 30, 40))]).splitlines()
    columns = line.split()
    assert len(columns) == 15
    assert columns[0] == "3"
    assert columns[4:8] == ["1.00", "2.25", "30.00", "40.00"]
    assert {float(column) for column in columns[1:4] + columns[8:]} == {0}


def test_voc_escapes_what_xml_would_read():
    text = voc("1.tif", (3, 20, 10), [Labelled("<a & b>", (0, 0, 1, 1))])
    root = ElementTree.fromstring(text)
    assert root.findtext("object/name") == "<a & b>"
    assert [root.findtext(f"size/{tag}") for tag in ("width", "height", "depth")] == [
        "10", "20", "3",
    ]  # fmt: skip
