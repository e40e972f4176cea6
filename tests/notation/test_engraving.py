import io
import re
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import get_args
from xml.etree import ElementTree as ET

import mido
import numpy as np
import pypdfium2
import pytest
from PIL import Image

import tutti.notation.engraving as engraving
from tests.notation.conftest import named, tab
from tutti.errors import EngravingError, MissingExtraError, OptionError
from tutti.notation.engraving import BACKENDS, Backend, Engraving, available_backends, engrave
from tutti.notation.layout import line_starts
from tutti.notation.lilypond import to_lilypond
from tutti.notation.pages import PAPERS_MM
from tutti.notation.pdf import to_png
from tutti.notation.pieces import PIECES
from tutti.notation.sheet import Bar, Sheet
from tutti.notation.spelling import spell_sheet
from tutti.notation.vector import SVG, At, draw

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


def forms(printed: Engraving) -> tuple[tuple[str, ...], bytes, bytes]:
    return printed.pages_svg, printed.pdf, printed.png


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
    with pypdfium2.PdfDocument(printed.pdf) as document:
        assert len(document) == len(printed.pages_svg)
        said = document[0].get_textpage().get_text_range()  # as a reader searches and copies it
        assert document.get_metadata_dict()["Title"] == SONG.title
    assert SONG.title in said
    assert "Ghost note" in said
    assert "120" in said


@needs_verovio
@pytest.mark.parametrize(("paper", "width", "height"), [("a4", 210, 297), ("letter", 215.9, 279.4)])
def test_pages_have_the_size_of_the_paper(paper: engraving.Paper, width: float, height: float) -> None:
    printed = engrave(SONG, paper=paper)
    root = ET.fromstring(printed.pages_svg[0])
    assert (root.get("width"), root.get("height")) == (f"{width:g}mm", f"{height:g}mm")
    with pypdfium2.PdfDocument(printed.pdf) as document:
        assert document[0].get_size() == pytest.approx((width / 25.4 * 72, height / 25.4 * 72), abs=0.1)
    picture = Image.open(io.BytesIO(printed.png))
    assert picture.size == pytest.approx((width / 25.4 * 150, height / 25.4 * 150), abs=1)


@needs_verovio
def test_what_the_svg_holds_is_painted() -> None:
    """Taking heads, tempo mark or title out of the SVG takes their ink out of the picture; doubt is grey."""
    page = engrave(SONG).pages_svg[0]
    size_mm = PAPERS_MM["a4"]

    def ink(svg: str) -> int:
        root = ET.fromstring(svg)
        page = [(At(), draw([root], root.findall(f"{SVG}defs/{SVG}g")))]
        units_per_mm = float(root.attrib["viewBox"].split()[2]) / size_mm[0]
        return int((np.asarray(Image.open(io.BytesIO(to_png(page, size_mm, units_per_mm))).convert("L")) < 100).sum())

    everything = ink(page)
    for group in ("notehead", "tempo", "title", "stem", "rest", "legend", "reh", "voltaBracket", "mRpt"):
        assert f'class="{group}"' in page
        assert ink(re.sub(rf'class="{group}"', 'class="placeholder"', page)) < everything
    doubtful = replace(GROOVE, strokes=tuple(replace(s, doubtful=True) for s in GROOVE.strokes))
    assert "#8C959F" in engrave(named(Sheet("", (doubtful,)))).pages_svg[0]


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
    assert forms(engrave(SONG)) == forms(engrave(SONG))


@needs_verovio
def test_a_form_does_not_depend_on_which_were_asked_for_before() -> None:
    backwards = engrave(SONG)
    assert (backwards.png, backwards.pdf, backwards.pages_svg) == forms(engrave(SONG))[::-1]


@needs_verovio
def test_the_pdf_and_the_svg_of_a_page_look_alike() -> None:
    """Painted part by part as it was set, and from the finished SVG, a page is the same picture."""
    printed = engrave(replace(SONG, bars=tuple(replace(bar, repeats_previous=False) for bar in SONG.bars)))
    root = ET.fromstring(printed.pages_svg[0])
    units_per_mm = float(root.attrib["viewBox"].split()[2]) / PAPERS_MM["a4"][0]
    again = to_png([(At(), draw([root], root.findall(f"{SVG}defs/{SVG}g")))], PAPERS_MM["a4"], units_per_mm)
    one, other = (np.asarray(Image.open(io.BytesIO(png)).convert("L")).astype(int) for png in (printed.png, again))
    assert (one < 255).any()
    assert np.abs(one - other).max() <= 16


@needs_verovio
def test_printing_loads_no_framework() -> None:
    script = (
        "import sys; from tutti.notation.engraving import engrave; from tutti.notation.sheet import Bar, Sheet\n"
        "engrave(Sheet('A', (Bar(4, 4),))).pdf; print(*sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in answer.stdout.split()}
    assert "verovio" in loaded
    assert loaded & {"matplotlib", "numpy", "PIL", "torch"} == set()


@needs_verovio
def test_a_hundred_bars_are_quick() -> None:
    sheet = named(replace(SONG, bars=(GROOVE,) * 100))
    assert engrave(SONG).pdf  # what is loaded once
    unit_s = min(timeit.repeat(lambda: sum(map(float, range(200_000))), number=5, repeat=3, timer=time.process_time))
    start_s = time.process_time()
    assert engrave(sheet).pdf
    assert time.process_time() - start_s < 40 * unit_s  # about a third of that on an idle processor


def test_four_bars_a_line_sections_anew_and_no_bar_alone() -> None:
    groove = named(Sheet("", (GROOVE,) * 9)).bars
    assert line_starts(Sheet("", groove), spell_sheet(Sheet("", groove))) == (0, 4)
    marked = (*groove[:6], replace(groove[6], rehearsal="B"), *groove[7:])
    assert line_starts(Sheet("", marked), spell_sheet(Sheet("", marked))) == (0, 4, 6)
    dense = (tab(snare="xxxxxxxx xxxxxxxx xxxxxxxx xxxxxxxx"),) * 4
    assert line_starts(Sheet("", dense), spell_sheet(Sheet("", dense))) == (0, 2)


@needs_lilypond
def test_lilypond_prints_every_note_of_every_page() -> None:
    sheet = named(replace(SONG, bars=tuple(replace(bar, repeats_previous=False) for bar in SONG.bars) * 12))
    printed = engrave(sheet, "lilypond")
    assert len(printed.pages_svg) > 1
    assert sum(page.count('class="note"') for page in printed.pages_svg) == count(sheet)


@needs_lilypond
def test_lilypond_plays_every_note() -> None:
    plain = tab(snare="xx x - x", tom_high="- - -x -", ride_bell="- - x -", splash="x - - -", hihat_pedal="- x - x")
    sheet = named(Sheet("", (GROOVE, plain)))  # LilyPond plays what is printed: a percent sign is silent
    command = [str(engraving._lilypond()), "--loglevel=WARNING", "-dbackend=svg", "--output=chart", "chart.ly"]
    files = engraving._run(command, {"chart.ly": to_lilypond(sheet).encode()}, 300)
    midi = mido.MidiFile(file=io.BytesIO(files["chart.midi"]))
    on = [message.note for track in midi.tracks for message in track if message.type == "note_on" and message.velocity]
    assert len(on) == count(sheet)
    assert {36, 38, 42, 44} <= set(on)


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
    title = '"} #(system "touch x") \\score { " \\'
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
    fake_program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, body: str, message: str,
    backend: Backend, name: str,
) -> None:  # fmt: skip
    fake_program(name, body)
    monkeypatch.setattr(engraving, "find_spec", lambda _: None)
    limit_s = 0.5 if "time" in body else 60
    printed = engrave(SONG, backend, time_limit_s=limit_s)
    for form in ("pdf", "png", "pages_svg") if limit_s == 60 else ("pdf",):
        with pytest.raises(EngravingError, match=message):
            getattr(printed, form)


@pytest.mark.parametrize("backend", ["verovio", "lilypond", "musescore"])
def test_a_missing_engraver_is_an_error_that_says_what_to_install(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engraving, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    assert available_backends() == {"none": "MusicXML only"}
    with pytest.raises(MissingExtraError, match=r"[Ii]nstall"):
        engrave(SONG, backend)


def test_without_an_engraver_there_is_music_xml_only() -> None:
    printed = engrave(SONG, "none")
    assert printed.musicxml
    assert forms(printed) == ((), b"", b"")


def test_what_does_not_exist_is_named() -> None:
    assert get_args(Backend) == BACKENDS
    with pytest.raises(OptionError, match="no engraver 'finale'"):
        engrave(SONG, "finale")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no paper 'a5'"):
        engrave(SONG, paper="a5")  # type: ignore[arg-type]
