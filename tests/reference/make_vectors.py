#!/usr/bin/env python3
"""Writes tests/vectors/*.json, or with --check compares them with what would be written.

A vector is what goes into one message (or derived value), what comes out of each step in between, and its bytes. Inputs are
fixed: byte strings that a label stretches to the length wanted. Byte strings are written as 0x and hex digits.
"""

import json
import sys
from pathlib import Path

import vectors_antigone
import vectors_enclaves
import vectors_enclaves_first
from suites import SUITES

FOLDER = Path(__file__).resolve().parent.parent / "vectors"
FILES = {
    "antigone.json": vectors_antigone.vectors,
    "enclaves.json": vectors_enclaves.vectors,
    "enclaves_first.json": vectors_enclaves_first.vectors,
}


def text_of(vectors):
    names = {str(number): name for number, name in SUITES.items()}
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors)
    return f'{{"suites": {json.dumps(names)},\n"vectors": [\n{lines}\n]}}\n'


def main():
    for name, make in FILES.items():
        path, vectors = FOLDER / name, make()
        text = text_of(vectors)
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                sys.exit(f"{path} is not what make_vectors.py writes")
            print(f"{name}: {len(vectors)} vectors, as stored")
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"{name}: {len(vectors)} vectors")


if __name__ == "__main__":
    main()
