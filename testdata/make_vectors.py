"""Makes the files in `vectors/` with NumPy and pyarrow: what other programs write, for the tests of `import`.

Run it with Python 3.11 or later, NumPy 2.4 and pyarrow 26: `python make_vectors.py`. With `--check` it compares the
arrays that are read back from the committed files, which are the same whatever versions wrote them.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).parent / "vectors"

# Every type of element holds these.
ROWS = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 100], [9, 10, 11], [12, 13, 14]])
NPY_TYPES = {"f2": "<f2", "f4": "<f4", "f8": "<f8", "i1": "|i1", "u1": "|u1", "i4": "<i4"}
TEXMEX_TYPES = {"fvecs": "<f4", "bvecs": "|u1", "ivecs": "<i4"}
LISTS = {
    "list": pa.list_(pa.float32()),
    "large_list": pa.large_list(pa.float64()),
    "fixed": pa.list_(pa.float32(), 3),
    "half": pa.list_(pa.float16(), 3),
    "bytes": pa.list_(pa.uint8()),
    "ints": pa.list_(pa.int32(), 3),
}


def texmex(rows: np.ndarray, dtype: str) -> bytes:
    """Each row after its dimension, in 32 bits."""
    prefix = np.array([rows.shape[1]], dtype="<i4").tobytes()
    return b"".join(prefix + row.astype(dtype).tobytes() for row in rows)


def table(ty: pa.DataType) -> pa.Table:
    """Vectors of one type, with an id, a name that may be missing, and a number."""
    item = ty.value_type.to_pandas_dtype()
    return pa.table(
        {
            "id": pa.array([10, 20, 30, 40, 50], type=pa.int64()),
            "embedding": pa.array([list(row.astype(item)) for row in ROWS], type=ty),
            "name": pa.array(["Oulu", None, "Turku", "Espoo", "Kemi"]),
            "share": pa.array([0.5, 1.5, 2.5, 3.5, 4.5], type=pa.float64()),
        }
    )


def write() -> None:
    """Writes all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, dtype in NPY_TYPES.items():
        np.save(FOLDER / f"{name}.npy", ROWS.astype(dtype))
    for version in ((2, 0), (3, 0)):
        with (FOLDER / f"version_{version[0]}.npy").open("wb") as file:
            np.lib.format.write_array(file, ROWS.astype("<f4"), version=version)
    np.save(FOLDER / "fortran.npy", np.asfortranarray(ROWS.astype("<f4")))
    np.save(FOLDER / "big_endian.npy", ROWS.astype(">f4"))
    for name, dtype in TEXMEX_TYPES.items():
        (FOLDER / f"rows.{name}").write_bytes(texmex(ROWS, dtype))
    for name, ty in LISTS.items():
        # Row groups and pages are smaller than the file, as those of large files are.
        pq.write_table(table(ty), FOLDER / f"{name}.parquet", row_group_size=2)


def check() -> None:
    """Compares what the files hold with what they should."""
    for path in sorted(FOLDER.glob("*.npy")):
        assert (np.load(path) == ROWS).all(), path
    for name, dtype in TEXMEX_TYPES.items():
        assert (FOLDER / f"rows.{name}").read_bytes() == texmex(ROWS, dtype), name
    for name, ty in LISTS.items():
        assert pq.read_table(FOLDER / f"{name}.parquet").equals(table(ty)), name


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        write()
