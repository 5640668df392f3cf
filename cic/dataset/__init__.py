"""Prepare photos for training: find and remove invalid ones, shrink, crop, make batches."""
