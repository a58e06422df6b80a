"""The table of formats is the documentation's."""

from geodl_lab.exports import CHIP_FORMATS, FORMATS, formats


def test_all_formats_are_there_and_in_the_table():
    assert list(FORMATS) == [
        "KITTI_rectangles", "PASCAL_VOC_rectangles", "Classified_Tiles", "RCNN_Masks",
        "Labeled_Tiles", "MultiLabeled_Tiles", "Export_Tiles", "CycleGAN", "Imagenet",
        "Panoptic_Segmentation",
    ]  # fmt: skip
    assert list(CHIP_FORMATS) == ["TIFF", "PNG", "JPEG", "MRF"]
    assert all(f"``{name}``" in formats.__doc__ for name in FORMATS)


def test_only_jpeg_loses_anything():
    assert [kind.name for kind in CHIP_FORMATS.values() if not kind.exact] == ["JPEG"]


def test_who_has_folders_of_classes():
    assert {name for name, kind in FORMATS.items() if kind.folders} == {
        "RCNN_Masks", "Imagenet", "Panoptic_Segmentation",
    }  # fmt: skip
