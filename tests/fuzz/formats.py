"""Mutations that know a format: the damage lies where a reader looks, and lengths and checksums fit around it.

Each takes whole bytes of its format and may raise anything on others.
"""

import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import wraps
from random import Random
from typing import Any

import h5py
import nibabel as nib
import numpy as np

from tests.fuzz.mutations import EDGES, GENERIC
from tests.fuzz.trial import OUTSIDE, PATIENT

TEXTS = (
    *(
        "",
        " ",
        "\0",
        "\n",
        "\r",
        "'",
        '"',
        ",",
        ";",
        "\t",
        "\\",
        "a" * 300,
        "b" * 5000,
        "字" * 200,
        "\ud800",
        "\u202e",
        "é",
    ),
    *("1e999", "-1", "0", "nan", "-inf", "1" * 5000, "0x10", "1_000", "=1+1", "${x}", "%s%n", "{0}"),
    *(
        ".",
        "..",
        "/",
        f"../{OUTSIDE}",
        "/etc/passwd",
        "a/" * 1000 + "b",
        "loop",
        "pipe",
        "nowhere",
        "C:\\x",
        "x.nii.gz#9" * 9,
    ),
)
NUMBERS = (*EDGES, 0.5, -0.0, 1e-300, 1e300, float("nan"), float("inf"), float("-inf"))
VALUES = (*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], {"": None}, [0] * 2000, 10**4000)
MAT_FIELDS = {
    "label": np.array([[2.0]]),
    "PID": np.array([[ord(letter)] for letter in "100360"], np.uint16),
    "image": np.arange(16 * 24, dtype=np.int16).reshape(24, 16),
    "tumorMask": np.eye(24, 16, dtype=np.uint8),
}
VRS = (
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV ZZ".split()
)
LONG_VRS = set(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


def in_gzip(mutation: Callable[[Random, bytes], bytes]) -> Callable[[Random, bytes], bytes]:
    """The same on what a .gz file holds; on other files as it is."""

    @wraps(mutation)
    def changed(rng: Random, data: bytes) -> bytes:
        if data[:2] != b"\x1f\x8b":
            return mutation(rng, data)
        return gzip.compress(mutation(rng, gzip.decompress(data)), 1, mtime=0)

    return changed


@in_gzip
def any_in_gzip(rng: Random, data: bytes) -> bytes:
    """Damage of any kind that the checksum of a .gz covers."""
    return rng.choice(GENERIC)(rng, data)


@in_gzip
def nifti_field(rng: Random, data: bytes) -> bytes:
    """A field of the header of NIfTI 1 or 2."""
    two = data[:2] in (b"\x1c\x02", b"\x00\x00") and data[:4] in (struct.pack("<i", 540), struct.pack(">i", 540))
    kind = nib.nifti2.header_dtype if two else nib.nifti1.header_dtype
    order = "<" if data[0] in (0x5C, 0x1C) else ">"
    header = np.frombuffer(data[: kind.itemsize], kind.newbyteorder(order)).copy()
    name = rng.choice([*kind.names, "dim", "pixdim", "srow_x", "scl_slope"])
    values = np.atleast_1d(header[name][0])
    if values.dtype.kind == "S":
        raw = rng.randbytes(values.dtype.itemsize)
    else:
        values = values.copy()
        with np.errstate(all="ignore"):
            number = rng.choice(NUMBERS if values.dtype.kind == "f" else EDGES)
            small = rng.choice((0, 1, 2, 3, 7, 400, 1000, 4096))
            number = rng.choice((number, small))
            info = None if values.dtype.kind == "f" else np.iinfo(values.dtype)
            values[rng.randrange(len(values))] = number if info is None else max(info.min, min(info.max, int(number)))
        raw = values.tobytes()
    at = kind.fields[name][1]
    return data[:at] + raw + data[at + len(raw) :]


def dicom_element(rng: Random, data: bytes) -> bytes:
    """The kind, the length or the value of one element outside of the file's head."""
    at, vr, head, length = rng.choice(_elements(data))
    value = data[at + head : at + head + length]
    tag, end = data[at : at + 4], at + head + length
    action = rng.randrange(6)
    if action == 0:
        vr = rng.choice(VRS) if vr else vr
    elif action == 1:
        length = rng.choice(EDGES) % 2**32
        return data[:at] + _head(tag, vr, length) + data[at + head :]
    elif action == 2:
        value = rng.choice((*TEXTS, PATIENT)).encode("utf-8", "surrogatepass")[: 2**15]
    elif action == 3:
        value = rng.choice(EDGES).to_bytes(9, "little", signed=True)[: rng.choice((1, 2, 4, 8))]
    elif action == 4:
        parts = value.split(b"\\")
        parts[rng.randrange(len(parts))] = rng.choice(
            (b"0", b"-1", b"1e99", b"nan", b"inf", b"", b"x", b"1e-30", b"99999999")
        )
        value = b"\\".join(parts * rng.choice((1, 1, 1, 2)))
    else:
        return data[:at] + data[end:] if rng.random() < 0.5 else data[:end] + data[at:end] + data[end:]
    return data[:at] + _head(tag, vr, len(value)) + value + data[end:]


def _head(tag: bytes, vr: bytes, length: int) -> bytes:
    if not vr:
        return tag + struct.pack("<I", length)
    return tag + vr + (struct.pack("<HI", 0, length) if vr in LONG_VRS else struct.pack("<H", length % 2**16))


def _elements(data: bytes) -> list[tuple[int, bytes, int, int]]:
    """(offset, VR or nothing, length of the head, length of the value) of a little-endian file's elements."""
    found, at = [], 132 if data[128:132] == b"DICM" else 0
    while at + 8 <= len(data):
        vr = data[at + 4 : at + 6]
        if vr.isalpha() and vr.isupper():
            long = vr in LONG_VRS
            head, length = (
                (12, struct.unpack_from("<I", data, at + 8)[0])
                if long
                else (8, struct.unpack_from("<H", data, at + 6)[0])
            )
        else:
            vr, head, length = b"", 8, struct.unpack_from("<I", data, at + 4)[0]
        if at + head + length > len(data):
            length = len(data) - at - head  # the pixels of an encoded picture have no length
        found.append((at, vr, head, length))
        at += head + length
    return found


def png_chunk(rng: Random, data: bytes) -> bytes:
    """A chunk with other content, kind, length or place, and the checksum that goes with it."""
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    which = rng.randrange(len(chunks))
    kind, content = chunks[which]
    claimed = None
    action = rng.randrange(6)
    if action == 0:
        chunks.insert(rng.randrange(len(chunks) + 1), chunks.pop(which))
    elif action == 1:
        chunks.insert(which, chunks[which])
    elif action == 2:
        claimed = rng.choice(EDGES) % 2**32
    elif action == 3:
        chunks[which] = (
            rng.choice((b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"eXIf", b"iCCP", b"zTXt", b"acTL", b"gAMA")),
            content,
        )
    elif kind == b"IDAT" and action == 4:
        chunks[which] = (kind, zlib.compress(rng.choice(GENERIC)(rng, zlib.decompress(content))))
    else:
        chunks[which] = (kind, rng.choice(GENERIC)(rng, content))
    parts = [data[:8]]
    for number, (kind, content) in enumerate(chunks):
        length = claimed if claimed is not None and number == which else len(content)
        parts += [struct.pack(">I", length), kind, content, struct.pack(">I", zlib.crc32(kind + content))]
    return b"".join(parts)


def tiff_entry(rng: Random, data: bytes) -> bytes:
    """Tag, type, count or value of one entry of the first directory."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    at = start + 2 + 12 * rng.randrange(count)
    tag, kind, number, value = struct.unpack_from(order + "HHII", data, at)
    action = rng.randrange(5)
    if action == 0:
        tag = rng.choice(
            (254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 324, 338, 339, 530)
        )
    elif action == 1:
        kind = rng.randrange(20)
    elif action == 2:
        number = rng.choice((*range(9), *(edge % 2**32 for edge in EDGES)))
    else:
        value = rng.choice((*range(9), 16, 32, 7, 50000, 32773, 34712, len(data), *(edge % 2**32 for edge in EDGES)))
    return data[:at] + struct.pack(order + "HHII", tag, kind, number, value) + data[at + 12 :]


def json_value(rng: Random, data: bytes) -> bytes:
    """A value of another kind, a key too few or too many, or nesting without end."""
    return _changed_json(rng, json.loads(data))


def tensors_header(rng: Random, data: bytes) -> bytes:
    """The JSON in front of a safetensors file, with its length."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    inner = header.get("__metadata__", {}).get("state")
    if inner and rng.random() < 0.5:
        header["__metadata__"]["state"] = _changed_json(rng, json.loads(inner)).decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        text = _changed_json(rng, header)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _changed_json(rng: Random, content: Any) -> bytes:
    place = {"": content}
    holder, key = rng.choice(_places(place))
    deep = "@deep@"
    action = rng.randrange(6)
    if action == 0 and holder is not place:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = holder.pop(key) if rng.random() < 0.5 else rng.choice(VALUES)
    elif action == 2:
        holder[key] = deep
    else:
        holder[key] = rng.choice(VALUES)
    depth = rng.choice((50, 900, 5000, 200_000))
    left, right = rng.choice((("[", "]"), ('{"a":', "}")))
    text = json.dumps(place.get("", 0), ensure_ascii=rng.random() < 0.8)
    text = text.replace(f'"{deep}"', f"{left * depth}1{right * depth}")
    if rng.random() < 0.05:
        text = rng.choice(("\ufeff{}", "[{}]", "{},", "")).format(text) if "{}" not in text else f"[{text}]"
    return text.encode("utf-8", "surrogatepass")


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) in nested lists and dicts."""
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    found = [(content, key) for key in keys]
    return found + [place for key in keys for place in _places(content[key])]


def table_cell(rng: Random, data: bytes) -> bytes:
    """A cell, a name of a column, the separator or the encoding of a CSV table."""
    rows = [line.split(",") for line in data.decode().split("\n")]
    row = rng.choice(rows)
    at = rng.randrange(len(row))
    action = rng.randrange(6)
    if action == 0:
        row.pop(at)
    elif action == 1:
        row.insert(at, rng.choice(TEXTS))
    elif action == 2:
        rows.insert(rng.randrange(len(rows)), list(row))
    elif action == 3:
        row[at] = f'"{rng.choice(TEXTS)}"'
    else:
        row[at] = rng.choice((rng.choice(TEXTS), row[at] + rng.choice(TEXTS), row[at].upper(), f" {row[at]} "))
    separator = rng.choice((",",) * 9 + (";", "\t", "|", ", "))
    text = rng.choice(("\n", "\n", "\r\n", "\r")).join(separator.join(row) for row in rows)
    encoding = rng.choice(("utf-8",) * 9 + ("utf-8-sig", "utf-16", "latin-1"))
    return text.encode(encoding, "surrogatepass" if encoding == "utf-8" else "replace")


def yaml_line(rng: Random, data: bytes) -> bytes:
    """A value, a key, the indent or an anchor of a YAML file."""
    lines = data.decode().split("\n")
    at = rng.randrange(len(lines))
    indent, key, value = re.fullmatch(r"( *(?:- )?)([^:#]*:?)(.*)", lines[at]).groups()
    odd = rng.choice(
        (*map(str, NUMBERS), *TEXTS, "[" * 3000, "{" * 3000, "&a [*a]", "*b", "!!python/name:os.system x", "!!binary x")
    )
    odd = rng.choice(
        (
            odd,
            odd,
            "null",
            "true",
            "'5'",
            "[1, 2]",
            "{a: 1}",
            "2020-01-01",
            "1:30",
            "0o17",
            "<<: *x",
            "!!int x",
            "? x",
            "|",
            "%YAML",
        )
    )
    action = rng.randrange(6)
    if action == 0:
        lines.pop(at)
    elif action == 1:
        lines.insert(at, lines[at])
    elif action == 2:
        lines[at] = rng.choice(("", " ", "   ", "\t", "- ")) + lines[at]
    elif action == 3:
        lines[at] = f"{indent}{odd}: {value}"
    elif action == 4 and rng.random() < 0.2:
        lines[at:at] = ["a0: &a0 [x]", *(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 10))]
    else:
        lines[at] = f"{indent}{key} {odd}"
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def zip_entry(rng: Random, data: bytes) -> bytes:
    """Entries of other names, kinds and sizes."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        entries = [(info, old.read(info)) for info in old.infolist()]
    info, content = rng.choice(entries)
    action = rng.randrange(7)
    if action == 0:
        info.filename = rng.choice(
            (rng.choice(TEXTS), f"{rng.choice(TEXTS)}/{info.filename}", f"{info.filename}{rng.choice(TEXTS)}")
        )
    elif action == 1:
        info.external_attr = rng.choice((0o120777, 0o040755, 0o020666, 0o010666, 0)) << 16
    elif action == 2:
        entries.append((zipfile.ZipInfo(info.filename + rng.choice(("", "/", "/x", "/x/y"))), content))
    elif action == 3:
        entries.append((zipfile.ZipInfo("/".join(["d"] * rng.choice((10, 100, 1000))) + "/x"), content))
    elif action == 4:
        entries.append((zipfile.ZipInfo("zeros"), bytes(rng.choice((10**4, 10**5, 3 * 10**6)))))
    elif action == 5 and rng.random() < 0.05:
        entries += [(zipfile.ZipInfo(f"{number}"), b"") for number in range(6000)]
    else:
        entries[0] = (info, rng.choice((data, content * 2, b"")))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))) as new:
        for info, content in entries:
            info.compress_type = new.compression
            new.writestr(info, content)
    raw = out.getvalue()
    for _ in range(rng.choice((0, 0, 1))):  # the central directory, which says what is where
        at = raw.find(b"PK\x01\x02") + rng.randrange(46)
        raw = raw[:at] + rng.randbytes(1) + raw[at + 1 :]
    return raw


def odd_mat(rng: Random, data: bytes) -> bytes:
    """A MATLAB v7.3 file with one field that no MATLAB would write. `data` may be damaged, so HDF5 must not read it."""
    with h5py.File("x.mat", "w", driver="core", backing_store=False) as new:
        odd = rng.choice(sorted(MAT_FIELDS))
        for name, values in MAT_FIELDS.items():
            if name != odd:
                new[f"cjdata/{name}"] = values
        rng.choice(ODD_FIELDS)(rng, new, f"cjdata/{odd}", MAT_FIELDS[odd])
        new.flush()
        return new.id.get_file_image()


def _other_shape(rng: Random, file: h5py.File, name: str, values: np.ndarray) -> None:
    side = rng.choice((0, 1, 15, 16, 17, 40))
    shape = rng.choice(((), (side,), (side, side), (side, 1), (1, side), (side, 20, 2), (20, side, 1, 1), (1,) * 32))
    file[name] = np.resize(values, shape).astype(rng.choice((values.dtype, "f4", "u1", "i8")))


def _huge_shape(rng: Random, file: h5py.File, name: str, values: np.ndarray) -> None:
    shape = rng.choice(((2**20, 2**20), (2**31, 16), (7000, 7000), (2**62, 1), (16, 2**40), (2**32,), (1, 10**9)))
    fill = rng.choice((0, 1, float("nan")))
    chunks = tuple(min(64, side) for side in shape)
    file.create_dataset(name, shape, rng.choice(("f8", "u1", "u2")), chunks=chunks, fillvalue=fill)


def _other_type(rng: Random, file: h5py.File, name: str, values: np.ndarray) -> None:
    kinds = ("f2", "g", "c8", "c16", "?", "S5", "V7", "u8", ">i2", ">f8", [("a", "i4"), ("b", "f4")], ("f4", (3,)))
    special = (
        h5py.string_dtype(),
        h5py.vlen_dtype("i4"),
        h5py.ref_dtype,
        h5py.enum_dtype({"x": 1}),
        h5py.opaque_dtype("M8[s]"),
    )
    file.create_dataset(name, values.shape, np.dtype(rng.choice(kinds)) if rng.random() < 0.6 else rng.choice(special))


def _odd_numbers(rng: Random, file: h5py.File, name: str, values: np.ndarray) -> None:
    values = values.astype(rng.choice(("f8", "f4")))
    with np.errstate(all="ignore"):
        values.flat[rng.randrange(values.size)] = rng.choice(NUMBERS)
    file[name] = values


def _link(rng: Random, file: h5py.File, name: str, values: np.ndarray) -> None:
    group, last = file.require_group("cjdata"), name.split("/")[-1]
    target = rng.choice((f"../{OUTSIDE}", "x.mat", "pipe", "/dev/zero"))
    group[last] = rng.choice(
        (h5py.ExternalLink(target, name), h5py.ExternalLink(target, "/cjdata/image"), h5py.SoftLink(f"/{name}"))
    )


def _stored_elsewhere(rng: Random, file: h5py.File, name: str, values: np.ndarray) -> None:
    files = [(f"../{OUTSIDE}", rng.choice((0, 512, 2**40)), rng.choice((h5py.h5f.UNLIMITED, 2**20)))]
    file.create_dataset(name, values.shape, rng.choice(("u1", values.dtype)), external=files)


def _virtual(rng: Random, file: h5py.File, name: str, values: np.ndarray) -> None:
    source = rng.choice((f"../{OUTSIDE}", ".")), rng.choice(("cjdata/image", name))
    space, kind = h5py.h5s.create_simple(values.shape), h5py.h5t.py_create(values.dtype)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_obj_track_times(False)  # the input must not depend on the hour
    plist.set_virtual(space, *(part.encode() for part in source), space)
    h5py.h5d.create(file.require_group("cjdata").id, name.split("/")[-1].encode(), kind, space, plist)


def _filtered(rng: Random, file: h5py.File, name: str, values: np.ndarray) -> None:
    ways = (
        {"compression": "gzip"},
        {"compression": "lzf"},
        {"shuffle": True},
        {"fletcher32": True},
        {"scaleoffset": 3},
    )
    file.create_dataset(name, data=values, chunks=tuple(min(8, side) for side in values.shape), **rng.choice(ways))


def _group(rng: Random, file: h5py.File, name: str, values: np.ndarray) -> None:
    place = file.create_group(name)
    place["image"] = values
    if rng.random() < 0.5:
        place["again"] = file["cjdata"]


ODD_FIELDS = (
    *(_other_shape, _huge_shape, _other_type, _odd_numbers, _link, _stored_elsewhere, _virtual, _filtered, _group),
)
