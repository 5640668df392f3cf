"""Photos: search, recognise, open within bounds, read, and write them with what they carried."""
