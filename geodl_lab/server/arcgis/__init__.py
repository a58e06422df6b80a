"""The face for ArcGIS clients: raster analysis tasks, their outputs, and the portal they need."""
