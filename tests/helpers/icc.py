"""ICC profiles made from their numbers, and what they mean, computed without LittleCMS."""

import struct

import numpy as np

# Adobe RGB (1998), section 4.3.4; Display P3 (SMPTE EG 432-1 primaries): their xy, red green blue.
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
D65, D50 = np.array([0.95047, 1, 1.08883]), np.array([0.9642, 1, 0.8249])
# Bradford's cone responses (ICC.1, annex E).
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def matrix(primaries):
    """(3, 3): linear RGB -> XYZ under D65."""
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    return xyz * np.linalg.solve(xyz, D65)


def srgb_of(rgb, primaries, gamma):
    """(..., 3) uint8 in another RGB space -> (..., 3) float sRGB, 0 to 255, clipped."""
    light = (np.asarray(rgb) / 255) ** gamma
    return encoded(light @ (np.linalg.inv(matrix(SRGB)) @ matrix(primaries)).T)


def encoded(light):
    """(...) linear light -> (...) sRGB, 0 to 255, by IEC 61966-2-1."""
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def srgb_of_lab(lab):
    """(3,) Lab under D50, as ICC has it -> (3,) float sRGB, 0 to 255, clipped."""
    lightness = (lab[0] + 16) / 116
    f = np.array([lightness + lab[1] / 500, lightness, lightness - lab[2] / 200])
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * D50
    return encoded(np.linalg.inv(matrix(SRGB)) @ _adapted(D50, D65) @ xyz)


def _adapted(white, other):
    """(3, 3): XYZ under one white -> XYZ under the other."""
    return np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ other) / (BRADFORD @ white)) @ BRADFORD


def _profile(space, tags, kind=b"mntr", pcs=b"XYZ "):
    start, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4xI", start + len(body), 0x02400000) + kind + space + pcs
    header += bytes(12) + b"acsp" + bytes(28) + b"".join(map(_fixed, D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _fixed(value):
    return struct.pack(">i", round(value * 65536))


def _xyz(values):
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))


def rgb_profile(primaries, gamma):
    """A version 2 profile of an RGB space under D65."""
    tags = {b"wtpt": _xyz(D50)}
    for name, column in zip(b"rgb", (_adapted(D65, D50) @ matrix(primaries)).T):
        tags[bytes([name]) + b"XYZ"] = _xyz(column)
        tags[bytes([name]) + b"TRC"] = _curve(gamma)
    return _profile(b"RGB ", tags)


def gray_profile(gamma):
    """A version 2 profile of gray."""
    return gray_profile_of(_curve(gamma))


def gray_profile_of(curve):
    """A version 2 profile of gray with a tag of type "curv" or "para"."""
    return _profile(b"GRAY", {b"wtpt": _xyz(D50), b"kTRC": curve})


def table(values):
    """A curve of points from 0 to 1."""
    points = np.rint(np.asarray(values) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(points)) + points.tobytes()


def formula(kind, *numbers):
    """A curve by ICC.1's formula `kind`, 0 to 4."""
    return b"para\0\0\0\0" + struct.pack(">Hxx", kind) + b"".join(map(_fixed, numbers))


def cmyk_profile(lab):
    """A version 2 profile: `lab` (2, 2, 2, 2, 3) uint8, ICC's 8-bit Lab of the corners of CMYK."""
    identity = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    table += b"".join(map(_fixed, np.eye(3).ravel()))
    table += identity * 4 + np.ascontiguousarray(lab, np.uint8).tobytes() + identity * 3
    return _profile(b"CMYK", {b"wtpt": _xyz(D50), b"A2B0": table}, b"prtr", b"Lab ")
