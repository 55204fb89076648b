#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every ```cpp block of the README and of docs/ is part of a file that is compiled: `<!-- from: path -->` stands before it.

Lines are compared without indentation and empty lines; `...` alone on a line skips some.
"""
import re, sys
from pathlib import Path

root = Path(sys.argv[1])
bad, blocks = [], 0


def lines(text):
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def contains(source, part):
    """Whether the parts between lines of `...` occur in order, each in one piece."""
    at = 0
    for piece in "\n".join(part).split("\n...\n"):
        found = "\n".join(source[at:]).find(piece)
        if found < 0:
            return False
        at += "\n".join(source[at:])[: found + len(piece)].count("\n")
    return True


for page in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
    text = page.read_text()
    for match in re.finditer(r"(<!-- from: (\S+) -->\n)?```cpp\n(.*?)```", text, re.S):
        blocks += 1
        where = f"{page.relative_to(root)}:{text[:match.start()].count(chr(10)) + 1}"
        if not match[2]:
            bad.append(f"{where}: a C++ block without <!-- from: file -->")
        elif not (root / match[2]).exists():
            bad.append(f"{where}: no {match[2]}")
        elif not contains(lines((root / match[2]).read_text()), lines(match[3])):
            bad.append(f"{where}: not (any more) in {match[2]}")
print("\n".join(bad) or f"{blocks} snippets are compiled")
sys.exit(bool(bad) or blocks == 0)
