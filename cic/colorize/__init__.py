"""Colorize photos and films with the output of a network."""
