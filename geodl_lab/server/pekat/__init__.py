"""PEKAT VISION's REST protocol: one project, which looks at one image a request."""
