"""Which device to run on: the processor."""

from cic.system.errors import SettingError


def resolve_device(device: str = "auto") -> str:
    """Return ONNX Runtime's name of the device for "auto" or "cpu".

    Raises ValueError for another name, and for a GPU: networks run there on the frameworks.
    """
    if device in ("auto", "cpu"):
        return "CPUExecutionProvider"
    kind, _, index = str(device).replace("cuda", "gpu").partition(":")
    if kind != "gpu" or not (index or "0").isdigit():
        raise SettingError(f"device {device!r}: it is auto, cpu, gpu or gpu:N")
    raise SettingError(
        f"device {device!r}: ONNX Runtime has no GPUs here: take backend torch or paddle"
    )
