"""The job server: one core, a thin face for each protocol."""
