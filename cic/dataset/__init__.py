"""Photos made ready for training: found invalid, removed, shrunk, cropped, put in batches."""
