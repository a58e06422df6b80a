"""Chips and labels to train from, in the formats that training tools read."""

from geodl_lab.exports.formats import CHIP_FORMATS as CHIP_FORMATS
from geodl_lab.exports.formats import FORMATS as FORMATS
