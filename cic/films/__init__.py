"""Read and write films through PyAV, with their sound, clock and tags. No network here."""
