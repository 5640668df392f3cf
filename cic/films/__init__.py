"""Films through PyAV: read and written, with their sound, clock and tags; no network."""
