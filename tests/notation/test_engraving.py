import io
import re
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree as ET

import mido
import pytest
from PIL import Image

import tutti.notation.engraving as engraving
from tests.notation.conftest import named, tab
from tutti.errors import EngravingError, MissingExtraError, OptionError
from tutti.notation.engraving import BACKENDS, Backend, available_backends, engrave
from tutti.notation.layout import line_starts
from tutti.notation.lilypond import to_lilypond
from tutti.notation.pieces import PIECES
from tutti.notation.sheet import Bar, Sheet
from tutti.notation.spelling import spell_sheet

GROOVE = tab(hihat_closed="xx xx xx xx", snare="- f - g", kick="x - xx -")
FILL = tab(
    snare="xxx r - x", tom_high="- - - -x", hihat_open="- - x -", ride_bell="- - -x -", splash="x - - -", kick="x x x x"
)
SONG = named(Sheet("A \"song\" & <more>\\", (
    replace(GROOVE, rehearsal="A", opens_repeat=True), replace(GROOVE, repeats_previous=True), GROOVE,
    replace(FILL, ending=1, closes_repeat=True, text="Fill"), replace(FILL, ending=2), GROOVE,
)))  # fmt: skip
needs_verovio = pytest.mark.skipif(find_spec("verovio") is None, reason="verovio is not installed")
needs_lilypond = pytest.mark.skipif("lilypond" not in available_backends(), reason="LilyPond is not installed")


def count(sheet: Sheet) -> int:
    return sum(len(bar.strokes) for bar in sheet.bars)


@needs_verovio
def test_verovio_prints_every_note_of_every_page_and_a_legend() -> None:
    sheet = named(replace(SONG, bars=tuple(replace(bar, repeats_previous=False) for bar in SONG.bars) * 12))
    printed = engrave(sheet)
    assert len(printed.pages_svg) > 1
    ids = [i for page in printed.pages_svg for i in re.findall(r'<g id="(n\d+)" class="note"', page)]
    assert sorted(ids) == sorted(f"n{i}" for i in range(count(sheet)))
    assert [page.count('class="legend"') for page in printed.pages_svg] == [1] + [0] * (len(printed.pages_svg) - 1)
    words = "".join(ET.fromstring(printed.pages_svg[0]).itertext())
    used = {s.instrument for bar in sheet.bars for s in bar.strokes}
    assert {piece.label for piece in PIECES.values() if piece.label in words} >= {PIECES[name].label for name in used}
    assert "Ghost note" in words
    assert "China" not in words
    assert f"1 / {len(printed.pages_svg)}" in words
    assert printed.pdf.count(b"/Type /Page\n") + printed.pdf.count(b"/Type /Page ") == len(printed.pages_svg)
    assert b"/FontFile" in printed.pdf  # the text font is in it


@needs_verovio
@pytest.mark.parametrize(("paper", "width", "height"), [("a4", 210, 297), ("letter", 215.9, 279.4)])
def test_pages_have_the_size_of_the_paper(paper: engraving.Paper, width: float, height: float) -> None:
    printed = engrave(SONG, paper=paper)
    root = ET.fromstring(printed.pages_svg[0])
    assert (root.get("width"), root.get("height")) == (f"{width:g}mm", f"{height:g}mm")
    box = [float(n) for n in re.search(rb"/MediaBox \[([^\]]*)\]", printed.pdf)[1].split()]
    assert box == pytest.approx([0, 0, width / 25.4 * 72, height / 25.4 * 72], abs=0.1)
    picture = Image.open(io.BytesIO(printed.png))
    assert picture.size == pytest.approx((width / 25.4 * 150, height / 25.4 * 150), abs=1)


@needs_verovio
def test_every_head_of_the_svg_is_ink_in_the_png() -> None:
    """Each note head is dark at its place; one of doubt is lighter. The tempo's note, a letter, is drawn too."""
    strokes = (replace(GROOVE.strokes[0], instrument="snare"), replace(GROOVE.strokes[-1], doubtful=True, ghost=False))
    for stroke, darkest in zip(strokes, (0, 0x8C), strict=True):
        one = replace(stroke, position=stroke.position * 0 + 1, instrument="snare")
        with_tempo = named(Sheet("", (Bar(4, 4, (one,), (1, 1, 1, 1)),)))
        printed = engrave(with_tempo)
        root = ET.fromstring(printed.pages_svg[0])
        at = re.search(
            r'translate\((-?\d+), (-?\d+)\) scale\((?P<k>[\d.]+)[^"]*"><(?:(?!class="note").)*id="n0" class="note".*?'
            r'use [^>]*translate\((?P<x>\d+), (?P<y>\d+)\)', printed.pages_svg[0][printed.pages_svg[0].rindex('class="system"') - 200:], re.S,
        )  # fmt: skip
        assert at is not None
        picture = Image.open(io.BytesIO(printed.png)).convert("L")
        scale = picture.width / float(root.attrib["viewBox"].split()[2])
        x = (int(at[1]) + float(at["k"]) * (int(at["x"]) + 100)) * scale
        y = (int(at[2]) + float(at["k"]) * int(at["y"])) * scale
        spot = picture.crop((int(x) - 2, int(y) - 1, int(x) + 3, int(y) + 2))
        assert spot.getextrema()[0] == pytest.approx(darkest, abs=12)


@needs_verovio
def test_a_title_too_long_or_in_rare_letters_still_prints() -> None:
    for title in ("歌 ♥ Ünïcode \ud800", "M" * 500, "\u202eabc", "$x_2$ \\frac"):
        assert engrave(replace(SONG, title=title)).pdf.startswith(b"%PDF")


@needs_verovio
def test_an_empty_sheet_prints_its_title() -> None:
    for sheet in (Sheet("Nothing", (Bar(4, 4),)), Sheet("Nothing at all")):
        assert "Nothing" in engrave(sheet).pages_svg[0]


@needs_verovio
def test_the_same_sheet_gives_the_same_bytes() -> None:
    assert engrave(SONG) == engrave(SONG)


@needs_verovio
def test_a_hundred_bars_are_quick() -> None:
    sheet = named(replace(SONG, bars=(GROOVE,) * 100))
    engrave(SONG)
    start = time.process_time()
    engrave(sheet)
    assert time.process_time() - start < 4  # 1 s measured; the machines of a test run differ


def test_four_bars_a_line_sections_anew_and_no_bar_alone() -> None:
    groove = named(Sheet("", (GROOVE,) * 9)).bars
    assert line_starts(Sheet("", groove), spell_sheet(Sheet("", groove))) == (0, 4)
    marked = (*groove[:6], replace(groove[6], rehearsal="B"), *groove[7:])
    assert line_starts(Sheet("", marked), spell_sheet(Sheet("", marked))) == (0, 4, 6)
    dense = (tab(snare="xxxxxxxx xxxxxxxx xxxxxxxx xxxxxxxx"),) * 4
    assert line_starts(Sheet("", dense), spell_sheet(Sheet("", dense))) == (0, 2)


@needs_lilypond
def test_lilypond_prints_and_plays_every_note(tmp_path: Path) -> None:
    files = engraving._run(
        [str(engraving._lilypond()), "--loglevel=WARNING", "-dbackend=svg", "--output=chart", "chart.ly"],
        {"chart.ly": to_lilypond(replace(SONG, bars=SONG.bars[:1] + SONG.bars[2:])).encode()}, 120,
    )  # fmt: skip
    midi = mido.MidiFile(file=io.BytesIO(files["chart.midi"]))
    on = [message.note for track in midi.tracks for message in track if message.type == "note_on" and message.velocity]
    assert len(on) >= count(SONG) - len(GROOVE.strokes)
    assert {36, 38, 42} <= set(on)


@needs_lilypond
def test_lilypond_gives_svg_pdf_and_png() -> None:
    printed = engrave(SONG, "lilypond", "letter")
    assert printed.pdf.startswith(b"%PDF")
    assert printed.png.startswith(b"\x89PNG")
    assert len(printed.pages_svg) == 1
    words = "".join(ET.fromstring(printed.pages_svg[0]).itertext())
    assert "Hi-hat" in words
    assert "<more>" in words


def test_no_words_of_a_user_are_code_for_lilypond() -> None:
    title = '"} #(system "touch /tmp/x") \\score { " \\'
    source = to_lilypond(replace(SONG, title=title))
    (line,) = [line for line in source.splitlines() if "touch" in line]
    assert re.fullmatch(r'\\header \{ title = "(?:[^"\\]|\\.)*" tagline = ##f \}', line)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import sys; print('no font \\x1b[31m found'); sys.exit(3)", "failed with code 3: no font .*found"),
        ("pass", "wrote only: nothing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "failed with code -11"),
        ("import time; time.sleep(60)", "ended after 0.5 s"),
        (
            "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])",
            "ended after",
        ),
    ],
)
@pytest.mark.parametrize(("backend", "name"), [("lilypond", "lilypond"), ("musescore", "mscore")])
def test_a_program_that_fails_is_an_error_that_says_why(
    fake_program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, body: str, message: str, backend: Backend,
    name: str,
) -> None:  # fmt: skip
    fake_program(name, body)
    monkeypatch.setattr(engraving, "find_spec", lambda _: None)
    limit_s = 0.5 if "time" in body else 60
    with pytest.raises(EngravingError, match=message):
        engrave(SONG, backend, time_limit_s=limit_s)


@pytest.mark.parametrize("backend", ["verovio", "lilypond", "musescore"])
def test_a_missing_engraver_is_an_error_that_says_what_to_install(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engraving, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    assert available_backends() == {"none": "MusicXML only"}
    with pytest.raises(MissingExtraError, match="[Ii]nstall"):
        engrave(SONG, backend)


def test_without_an_engraver_there_is_music_xml_only() -> None:
    printed = engrave(SONG, "none")
    assert printed.musicxml
    assert (printed.pages_svg, printed.pdf, printed.png) == ((), b"", b"")


def test_what_does_not_exist_is_named() -> None:
    assert get_args(Backend) == BACKENDS
    with pytest.raises(OptionError, match="no engraver 'finale'"):
        engrave(SONG, "finale")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no paper 'a5'"):
        engrave(SONG, paper="a5")  # type: ignore[arg-type]
