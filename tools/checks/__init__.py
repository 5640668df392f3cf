"""Does training work here, on this device? The lines of `tools/gpu_check.py`."""
