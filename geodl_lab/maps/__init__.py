"""Live maps in the notebook: rasters, lazy results and objects on ipyleaflet."""
