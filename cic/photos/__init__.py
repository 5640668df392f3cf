"""Photos: found, told apart, opened within bounds, read, and written with what they carried."""
