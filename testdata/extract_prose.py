#!/usr/bin/env python3
"""Extracts the sentences of `prose.txt.gz` from the books that a Rust toolchain installs as documentation.

    python3 testdata/extract_prose.py    # reads the toolchain that `rustc` names, writes the file

Needs nothing beyond the standard library. See README.md for sources and licences.
"""

import gzip
import html
import pathlib
import re
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
# Not the embedded book: its prose is under another licence than the others.
BOOKS = [
    "book",
    "cargo",
    "reference",
    "rustc",
    "nomicon",
    "edition-guide",
    "rust-by-example",
    "rustdoc",
    "style-guide",
    "clippy",
    "unstable-book",
]


def sentences(page: str) -> list[str]:
    found = []
    for paragraph in re.findall(r"<(?:p|li)>(.*?)</(?:p|li)>", page, re.DOTALL):
        paragraph = re.sub(r"<pre.*?</pre>", " ", paragraph, flags=re.DOTALL)
        text = " ".join(html.unescape(re.sub(r"<[^>]+>", "", paragraph)).split())
        for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", text):
            if 15 <= len(sentence) <= 220 and sentence[0].isalpha() and sentence[-1] in ".!?":
                found.append(sentence)
    return found


def main() -> None:
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True)
    root = pathlib.Path(sysroot.stdout.strip()) / "share" / "doc" / "rust" / "html"
    all_of_them: dict[str, None] = {}
    for book in BOOKS:
        for page in sorted((root / book).rglob("*.html")):
            if page.name not in ("print.html", "toc.html", "404.html"):
                all_of_them.update(dict.fromkeys(sentences(page.read_text(encoding="utf-8"))))
    content = "\n".join(all_of_them).encode() + b"\n"
    with (HERE / "prose.txt.gz").open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(content)


if __name__ == "__main__":
    main()
