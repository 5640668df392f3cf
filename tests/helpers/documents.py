"""The project's Markdown taken apart: headings, links, tables, code blocks, commands in them."""

import re
import shlex
from typing import NamedTuple

from helpers import ROOT

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: its language, the words behind that, and its text."""

    language: str
    words: tuple
    text: str


def all_of():
    """Paths of the documents, relative to the root, sorted."""
    found = [*ROOT.glob("*.md")]
    for folder in ("docs", "cic", "tools", ".github"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text):
    """The fenced Blocks of a document."""
    found = []
    for info, inside in _FENCE.findall(text):
        language, *words = info.split() or [""]
        found.append(Block(language, tuple(words), inside))
    return found


def prose(text):
    """A document without its fenced blocks."""
    return _FENCE.sub("", text)


def spans(text):
    """What stands between backticks in the prose of a document."""
    return [" ".join(span.split()) for span in _SPAN.findall(prose(text))]


def links(text):
    """Targets of the links and pictures of a document."""
    return _LINK.findall(_SPAN.sub("``", prose(text)))


def headings(text):
    """[(level, heading), ...] of a document."""
    found = re.findall(r"^(#+) (.+)$", prose(text), re.MULTILINE)
    return [(len(marks), heading.strip()) for marks, heading in found]


def anchors(text):
    """The anchors that GitHub gives the headings of a document."""
    seen, found = {}, set()
    for _, heading in headings(text):
        plain = _LINK.sub("", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found


def rows(text):
    """The rows of all tables of a document, [[cell, ...], ...], without the lines below heads."""
    lines = [line for line in prose(text).splitlines() if line.startswith("|")]
    lines = [line for line in lines if not re.fullmatch(r"[|\s:-]+", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def without_comments(code):
    """Code or commands without comments and what stands before them, line by line."""
    return [re.split(r"\s*#", line)[0] for line in code.splitlines()]


def commands(text):
    """[(words, whether it is whole), ...] of each `cic NAME` and tools/train.py of a document.

    Words begin with the name. Those of prose are seldom whole; those of a block are, but for "...".
    """
    found = [(span, False) for span in spans(text)]
    for block in blocks(text):
        if block.language == "sh":
            lines = "\n".join(without_comments(block.text.replace("\\\n", " "))).splitlines()
            found += [(line, "..." not in line) for line in lines]
    return [(words, whole) for line, whole in found if (words := _words(line))]


def _words(line):
    """The words of a command from its name on; none of what is no command of ours."""
    launched = re.match(r"(torchrun|python -m paddle\S*) .*?tools/train\.py(.*)", line.strip())
    line = f"cic train{launched[2]}" if launched else line
    return shlex.split(line)[1:] if re.match(r"cic \w", line) else []


def flags(words):
    """The flags among the words of a command, without their values."""
    return [word.split("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)]
