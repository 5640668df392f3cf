"""A run of training: its recipe, its checkup, its loop, and what it shows and leaves."""
