"""Check that the whole numbers in settings objects are within their bounds."""

from dataclasses import fields
from numbers import Integral
from typing import Any

from cic.system.errors import SettingError


def check_whole(settings: Any, **least: int) -> None:
    """Raise SettingError unless those fields of a dataclass are whole numbers, and large enough.

    `least` is what each may be at the least. None passes where it is the default.
    """
    defaults = {field.name: field.default for field in fields(settings)}
    for name, lowest in least.items():
        value = getattr(settings, name)
        if value is None and defaults[name] is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise SettingError(f"{name} is {value!r}: it must be a whole number")
        if value < lowest:
            raise SettingError(f"{name} is {value}: it must be {lowest} or more")
