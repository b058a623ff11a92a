"""Names and sizes of element types, as safetensors writes them, from torch's and numpy's names."""

from checkpoint.errors import CheckpointError

ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
    "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4,
    "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
"""Bytes of one element, by safetensors name."""

_BY_LIBRARY_NAME = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "int16": "I16", "uint16": "U16", "float16": "F16", "bfloat16": "BF16",
    "int32": "I32", "uint32": "U32", "float32": "F32",
    "int64": "I64", "uint64": "U64", "float64": "F64",
}  # fmt: skip
_NUMPY_NAMES = {
    name: library
    for library, name in _BY_LIBRARY_NAME.items()
    if name != "BF16" and not name.startswith("F8")
}


def dtype_name(dtype: object) -> str:
    """Return the safetensors name of a torch or numpy dtype. Raises CheckpointError for one that has none."""
    library_name = str(dtype).removeprefix("torch.")
    if library_name not in _BY_LIBRARY_NAME:
        raise CheckpointError(f"dtype {dtype}: cannot be saved; allowed: {', '.join(_BY_LIBRARY_NAME)}")
    return _BY_LIBRARY_NAME[library_name]


def numpy_name(dtype: str) -> str:
    """Return numpy's name of a safetensors dtype. Raises CheckpointError for one that numpy does not have."""
    if dtype not in _NUMPY_NAMES:
        raise CheckpointError(f"dtype {dtype}: numpy has no such type; read the bytes instead")
    return _NUMPY_NAMES[dtype]
