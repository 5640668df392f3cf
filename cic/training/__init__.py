"""Training: the recipe of a run, its checkup, its loop, its logs and its files."""
