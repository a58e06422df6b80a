"""Labels as text: KITTI lines, PASCAL VOC documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A box with its class.

    Parameters
    ----------
    name
        What the file calls the class.
    box
        Left, top, right, bottom in pixels of the chip.
    """

    name: str
    box: Box


def kitti(objects: Sequence[Labelled]) -> str:
    """Return a line of 15 columns for each object, as in KITTI's object benchmark.

    Only the class and the box (columns 5 to 8) are said; what is not known is 0, as in the files
    of Esri's tool, because its reader knows no negative numbers.
    """
    lines = []
    for found in objects:
        box = " ".join(f"{edge:.2f}" for edge in found.box)
        lines.append(f"{found.name} 0.0 0 0.0 {box} 0.0 0.0 0.0 0.0 0.0 0.0 0.0\n")
    return "".join(lines)


def voc(filename: str, shape: tuple[int, int, int], objects: Sequence[Labelled]) -> str:
    """Return the annotation of one image as in the PASCAL Visual Object Classes challenge.

    Parameters
    ----------
    filename
        Of the image.
    shape
        Its bands, height and width.
    objects
        What it shows; edges are in pixels with fractions, from 0.
    """
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = filename
    source = ElementTree.SubElement(root, "source")
    ElementTree.SubElement(source, "annotation").text = "geodl-lab"
    size = ElementTree.SubElement(root, "size")
    for tag, number in zip(("width", "height", "depth"), shape[::-1], strict=True):
        ElementTree.SubElement(size, tag).text = str(number)
    for found in objects:
        node = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(node, "name").text = found.name
        box = ElementTree.SubElement(node, "bndbox")
        for tag, edge in zip(("xmin", "ymin", "xmax", "ymax"), found.box, strict=True):
            ElementTree.SubElement(box, tag).text = f"{edge:.2f}"
    ElementTree.indent(root, "    ")
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
