"""Deepomatic v0.7: labels and boxes of photos."""
