"""Writers of picture files unsupported by Pillow: 16-bit PNG of every colour type, TIFF with any tags."""

import struct
import zlib
from pathlib import Path

import numpy as np

PNG_COLORS = {1: 0, 3: 2, 2: 4, 4: 6}  # channels -> colour type: grey, RGB, grey with alpha, RGB with alpha


def write_png16(path: Path, values: np.ndarray, **chunks: bytes) -> Path:
    """values [H, W, channels], integers below 65,536; `chunks` by name are written before the pixels."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    parts = {
        "IHDR": struct.pack(">IIBBBBB", width, height, 16, PNG_COLORS[channels], 0, 0, 0),
        **chunks,
        "IDAT": zlib.compress(rows),
        "IEND": b"",
    }
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name.encode(), data) for name, data in parts.items()))
    return path


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_tiff(path: Path, values: np.ndarray, **tags: int) -> Path:
    """values [H, W] or [H, W, 3], unsigned or float, in one uncompressed strip; `tags` like t262=0 replace defaults."""
    height, width, channels = (*values.shape, 1)[:3]
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    bits = struct.pack(f"<{channels}H", *[8 * values.dtype.itemsize] * channels)
    usual = {256: width, 257: height, 259: 1, 262: 2 if channels == 3 else 1, 273: 8, 277: channels, 278: height}
    usual |= {279: len(data), 339: 3 if values.dtype.kind == "f" else 1}
    usual |= {int(name.removeprefix("t")): value for name, value in tags.items()}
    entries = {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in usual.items()}
    # values of more than four bytes are stored elsewhere, here after the pixels
    entries[258] = struct.pack("<HHI", 258, 3, channels) + (
        bits.ljust(4, b"\0") if channels == 1 else struct.pack("<I", 8 + len(data))
    )
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data) + len(bits))
    table = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    path.write_bytes(head + data + bits + table)
    return path
