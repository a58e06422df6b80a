"""Which formats of training data there are, and what each puts where.

The names and folders are those that Esri documents for its tool "Export Training Data For Deep
Learning", and that `arcgis.learn.prepare_data` reads:

========================= ====================== ==============================================
format                    chips                  labels
========================= ====================== ==============================================
``KITTI_rectangles``      ``images/``            ``labels/N.txt``, 15 columns, boxes in pixels
``PASCAL_VOC_rectangles`` ``images/``            ``labels/N.xml``, boxes in pixels
``Classified_Tiles``      ``images/``            ``labels/N.tif``, class values, 0 is none
``RCNN_Masks``            ``images/``            ``labels/CLASS/N.tif``, objects from 1, 0 is none
``Labeled_Tiles``         ``images/``            ``labels/N.xml``, one object
``MultiLabeled_Tiles``    ``images/``            ``labels/N.xml``, names with commas between
``Export_Tiles``          ``images/``            none
``CycleGAN``              ``A/images/``,         none; ``A`` and ``B`` are complete folders
                          ``B/images/``
``Imagenet``              ``images/CLASS/``      none, the folder's name is the label
``Panoptic_Segmentation`` ``images/``            ``labels/N.tif`` and ``labels2/CLASS/N.tif``
========================= ====================== ==============================================

Chips of a second raster lie in ``images2/``. Every folder holds ``map.txt``, ``stats.txt``,
``esri_accumulated_stats.json`` and ``esri_model_definition.emd``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Content = Literal[
    "kitti", "voc", "classes", "masks", "label", "names", "none", "folder", "panoptic"
]


@dataclass(frozen=True, slots=True)
class Format:
    """A format of labels.

    Parameters
    ----------
    name
        As Esri's tool calls it.
    content
        What says which class a chip, a pixel or an object has.
    labelled
        Whether it cannot be without labels.
    centred
        Whether each feature has a chip of its own; else chips are laid in rows.
    second
        Whether a second raster may be cut at the same places.
    """

    name: str
    content: Content
    labelled: bool = True
    centred: bool = False
    second: bool = False

    @property
    def pixels(self) -> bool:
        """Tell whether labels are class values of pixels."""
        return self.content in ("classes", "panoptic")

    @property
    def folders(self) -> bool:
        """Tell whether names of classes are names of folders."""
        return self.content in ("masks", "panoptic", "folder")


@dataclass(frozen=True, slots=True)
class ChipFormat:
    """A format of image files.

    Parameters
    ----------
    name
        As Esri's tool calls it.
    driver
        GDAL's name.
    ending
        Of the files' names.
    world
        Ending of the world file that says where the chip lies; "" if the image itself does.
    bands, dtypes
        Possible numbers of bands and pixel types; empty for all.
    options
        Of GDAL's driver.
    """

    name: str
    driver: str
    ending: str
    world: str = ""
    bands: tuple[int, ...] = ()
    dtypes: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Tell whether pixels come back as they were written."""
        return self.name != "JPEG"


FORMATS: dict[str, Format] = {
    kind.name: kind
    for kind in (
        Format("KITTI_rectangles", "kitti"),
        Format("PASCAL_VOC_rectangles", "voc"),
        Format("Classified_Tiles", "classes", second=True),
        Format("RCNN_Masks", "masks"),
        Format("Labeled_Tiles", "label", centred=True),
        Format("MultiLabeled_Tiles", "names"),
        Format("Export_Tiles", "none", labelled=False, second=True),
        Format("CycleGAN", "none", labelled=False, second=True),
        Format("Imagenet", "folder", centred=True),
        Format("Panoptic_Segmentation", "panoptic"),
    )
}
"""Formats of labels by their name."""

CHIP_FORMATS: dict[str, ChipFormat] = {
    kind.name: kind
    for kind in (
        ChipFormat("TIFF", "GTiff", ".tif", options={"compress": "lzw"}),
        ChipFormat("PNG", "PNG", ".png", ".pgw", (1, 3), ("uint8",)),
        ChipFormat("JPEG", "JPEG", ".jpg", ".jgw", (1, 3), ("uint8",), {"quality": "95"}),
        ChipFormat("MRF", "MRF", ".mrf", options={"compress": "DEFLATE"}),
    )
}
"""Formats of chips by their name."""
