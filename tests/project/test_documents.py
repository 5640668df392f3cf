"""What the documents say is there: links, commands, flags, paths, commits; and snippets run."""

import configparser
import importlib
import re
import subprocess
from contextlib import redirect_stderr
from io import StringIO

import pytest

from helpers import ROOT, documents
from helpers.documents import read

DOCUMENTS = documents.all_of()
LONGEST = 150  # lines of the README
MIRRORS = "README.md", "README_cn.md"
CODES = {  # of films' tracks, as the guide names them
    "aac": "AAC",
    "mp3": "MP3",
    "alac": "ALAC",
    "ac3": "AC-3",
    "eac3": "E-AC-3",
    "opus": "Opus",
    "vorbis": "Vorbis",
    "webvtt": "WebVTT",
    "mov_text": "mov_text",
    "pcm_alaw": "A-law",
    "pcm_mulaw": "mu-law",
    "adpcm_ima_qt": "IMA ADPCM",
}
KEPT = {"EXIF": "exif", "resolution (dpi)": "dpi", "XMP": "xmp", "IPTC": "iptc"}
KEPT |= {"ICC profile, where it is still true": "icc", "transparency": "alpha"}


def commands():
    for name in DOCUMENTS:
        for words, whole in documents.commands(read(name)):
            if words[0] != "NAME":
                yield pytest.param(words, whole, id=f"{name}-{' '.join(words)}")


def parser_of(name):
    return importlib.import_module(f"cic.commands.{name}").parser()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    text = read(name)
    for target in documents.links(text):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        place = (ROOT / name).parent / path if path else ROOT / name
        assert place.exists(), f"{name}: {target}: there is no such file"
        if anchor:
            there = documents.anchors(place.read_text(encoding="utf-8"))
            assert anchor in there, f"{name}: {target}: there is no such heading"


def test_the_readme_leads_to_every_guide():
    linked = set(documents.links(read("README.md")))
    guides = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert guides - linked == set()


@pytest.mark.parametrize("name", MIRRORS)
def test_the_readme_is_short(name):
    assert len(read(name).splitlines()) <= LONGEST


def test_the_readmes_mirror_each_other():
    english, chinese = map(read, MIRRORS)
    levels = [[level for level, _ in documents.headings(text)] for text in (english, chinese)]
    assert levels[0] == levels[1]
    code = [
        [(b.language, b.words, documents.without_comments(b.text)) for b in documents.blocks(text)]
        for text in (english, chinese)
    ]
    assert code[0] == code[1]
    targets = [
        sorted(t.partition("#")[0] for t in documents.links(text) if not t.startswith("http"))
        for text in (english, chinese)
    ]
    for found, other in zip(targets, reversed(MIRRORS)):
        found.remove(other)
    assert targets[0] == targets[1]


def test_the_tables_of_the_readmes_have_the_same_figures_and_names():
    english, chinese = ([told(row) for row in documents.rows(read(name))] for name in MIRRORS)
    assert english == chinese
    assert len(english) > 15


def told(row):
    """Of each cell what is of no language: numbers, code."""
    return [re.findall(r"`[^`]+`|[-+]?\d[\d.]*", cell) for cell in row]


@pytest.mark.parametrize("name", ["README.md", "cic/data/README.md"])
def test_figures_of_the_bundled_weights_are_those_of_the_measurements(name):
    measured = documents.rows(read("docs/measurements.md"))
    quoted = [row for row in documents.rows(read(name)) if "AuC" in row[0] or "truth's" in row[0]]
    assert len(quoted) >= 4
    for row in quoted:
        assert row in measured, f"{name}: {row[0]}: not as in docs/measurements.md"


@pytest.mark.parametrize(("words", "whole"), [*commands()])
def test_commands_have_their_flags(words, whole):
    parser, arguments = parser_of(words[0]), words[1:]
    known = {flag for action in parser._actions for flag in action.option_strings}
    unknown = set(documents.flags(arguments)) - known
    assert not unknown, f"cic {words[0]} has no {', '.join(sorted(unknown))}"
    if whole:
        said = StringIO()
        with redirect_stderr(said):
            try:
                parser.parse_args(arguments)
            except SystemExit:
                pytest.fail(said.getvalue())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_flags_in_the_text_are_those_of_a_command(name):
    there = {words[0] for p in commands() for words in p.values[:1]}
    known = {f for each in there for a in parser_of(each)._actions for f in a.option_strings}
    found = {word for span in documents.spans(read(name)) for word in span.split()[:1]}
    flags = {word for word in found if re.fullmatch(r"--[A-Za-z_-]+", word)}
    assert flags <= known, f"{name}: no command has {', '.join(sorted(flags - known))}"


def test_every_command_is_in_the_readme():
    modules = {path.stem for path in (ROOT / "cic" / "commands").glob("[!_]*.py")}
    names = {words[0] for words, _ in documents.commands(read("README.md"))} - {"NAME"}
    assert modules - names == set()


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_paths_in_the_text_are_there(name):
    paths = re.compile(r"(cic|backends|metric|tools|tests)/[\w/]+(\.py)?")
    found = [span for span in documents.spans(read(name)) if paths.fullmatch(span)]
    assert found
    for path in found:
        assert (ROOT / path).exists(), f"{name}: {path}: there is no such file"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone")
def test_commits_that_are_named_are_there():
    recipes = re.split(r"^\*\*\.\.\. ", read("CONTRIBUTING.md"), flags=re.MULTILINE)[1:]
    named = [[s for s in documents.spans(text) if s[:9] == "git show "] for text in recipes]
    assert len(named) == 6
    assert all(named)
    found = [span.split() for spans in named for span in spans]
    known = [["git", "cat-file", "-e", f"{commit}^{{commit}}"] for _, _, commit, *_ in found]
    if all(subprocess.run(ask, cwd=ROOT, stderr=subprocess.DEVNULL).returncode for ask in known):
        pytest.skip("a clone without its history")
    for _, _, commit, *paths in found:
        show = ["git", "show", "--format=%H", "--name-only", commit, *paths]
        run = subprocess.run(show, cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert set(paths) - {"--"} <= set(run.stdout.split())


def test_make_has_the_targets_that_are_named():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for name in DOCUMENTS:
        code = [s for s in documents.spans(read(name)) if s.startswith("make ")]
        code += re.findall(
            r"^make .*", "\n".join(b.text for b in documents.blocks(read(name))), re.M
        )
        assert {line.split()[1] for line in code} <= targets


def test_extras_that_are_named_can_be_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    for name in DOCUMENTS:
        found = ",".join(re.findall(r"pip install \"\.\[([\w,]+)\]", read(name)))
        assert set(found.split(",")) - {""} <= setup["options.extras_require"].keys()


def test_the_guide_names_what_each_container_of_films_takes():
    tracks = importlib.import_module("cic.films.tracks")
    found = {}
    for row in documents.rows(read("docs/colorizing.md")):
        if len(row) == 4 and row[0].startswith("`."):
            found |= dict.fromkeys(re.findall(r"`(\.\w+)`", row[0]), row[1:])
    assert found.keys() == tracks.CONTAINERS.keys()
    for ending, (pictures, copied, sound) in found.items():
        into = tracks.CONTAINERS[ending]
        assert ("VP9" in pictures) == ("vp9" in into.encoders[0])
        assert sound == {"aac": "AAC", "libopus": "Opus"}[into.sound]
        if into.plays is not None:
            plays = {CODES.get(code, "PCM") for code in into.plays}
            assert set(re.split("[,;] ", copied)) == plays


def test_the_guide_names_what_each_format_keeps():
    room = importlib.import_module("cic.photos.carried").ROOM
    table = {row[0]: row[1:] for row in documents.rows(read("docs/colorizing.md")) if len(row) == 6}
    for name, kept in KEPT.items():
        for ending, cell in zip((".jpg", ".png", ".tif", ".webp", ".bmp"), table[name]):
            assert (cell != "no") == (kept in room[ending]), f"{name} in {ending}: {cell}"
    assert room[".webp"] == room[".avif"]


@pytest.mark.parametrize(
    ("guide", "module"),
    [("docs/weights.md", "cic.weights.formats"), ("docs/networks.md", "cic.networks")],
)
def test_the_tables_of_formats_and_networks_are_complete(guide, module):
    first = " ".join(row[0] for row in documents.rows(read(guide)))
    assert set(re.findall(r"`([\w-]+)`", first)) >= set(importlib.import_module(module).names())


def test_every_recipe_is_named_in_the_guide_of_training():
    found = set(" ".join(documents.spans(read("docs/training.md"))).split())
    families = tuple(span.removesuffix("...") for span in found if span.endswith("..."))
    names = importlib.import_module("cic.training.recipes").names()
    assert {name for name in names if not name.startswith(families)} <= found


def test_the_card_begins_as_model_hubs_read_it():
    """The front matter: keys of the form that Hugging Face describes, and no more lists than it."""
    start, front, rest = read("cic/data/README.md").split("---\n", 2)
    keys = re.findall(r"^(\w+):", front, re.MULTILINE)
    assert start == ""
    assert rest.startswith("\n# ")
    assert keys == ["license", "pipeline_tag", "library_name", "tags", "metrics"]
    assert all(re.fullmatch(r"\w+:( [\w.-]+)?|- [\w.-]+", line) for line in front.splitlines())
    license = (ROOT / "setup.cfg").read_text().partition("license = ")[2].splitlines()[0]
    assert f"license: {license.lower()}\n" in front
