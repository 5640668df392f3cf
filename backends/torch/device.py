"""Which device to run on."""

import torch


def resolve_device(device="auto"):
    """torch.device for "auto" (a GPU if there is one), "cpu", "gpu", "gpu:1" or torch's own names.

    Raises ValueError for a GPU that is not there.
    """
    if device == "auto":
        device = "gpu" if torch.cuda.is_available() else "cpu"
    resolved = torch.device(str(device).replace("gpu", "cuda"))
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {device!r}: PyTorch sees {torch.cuda.device_count()} GPUs here")
    return resolved
