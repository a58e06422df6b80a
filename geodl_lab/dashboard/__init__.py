"""The app: a page on which a colleague without code runs a model on a raster."""

from geodl_lab.dashboard.app import app as app
