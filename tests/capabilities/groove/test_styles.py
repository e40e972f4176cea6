"""The registry: what was asked for of three producers, and what a file of one's own may and may not say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tutti.capabilities.groove import styles
from tutti.capabilities.groove.styles import (
    BUNDLED_STYLES,
    find_style,
    get_model_path,
    get_style_id,
    get_style_params,
    list_available_styles,
    load_styles,
    read_style,
)
from tutti.capabilities.groove.tokens import VOICES
from tutti.errors import StyleError, UnknownModelError, UnknownStyleError
from tutti.music.drum_kit import key_of_class
from tutti.settings import settings
from tutti.weights import cards

BUNDLED = sorted(BUNDLED_STYLES.glob("*.toml"))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the user's styles."""
    monkeypatch.setenv("TUTTI_STYLES_DIR", str(tmp_path))
    for cached in (settings, load_styles):
        cached.cache_clear()
    yield tmp_path
    for cached in (settings, load_styles):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("name", "model", "tempi", "figures", "description"),
    [
        ("J Dilla", "j_dilla_v1", (85, 95), (62.0, 20.0, 0.40, 0.15), "signature swing, soulful"),
        ("Metro Boomin", "metro_boomin_v1", (130, 150), (52.0, 5.0, 0.10, 0.08), "tight trap, rolls"),
        ("Questlove", "questlove_v1", (90, 110), (58.0, 12.0, 0.50, 0.20), "dynamic funk, ghosts"),
    ],
)
def test_producers_have_the_figures_that_were_asked_for(
    name: str, model: str, tempi: tuple[int, int], figures: tuple[float, ...], description: str
) -> None:
    swing, timing, ghosts, variation = figures
    assert get_style_params(name) == {
        "model": model,
        "description": description,
        "preferred_tempo_range": tempi,
        "swing_percent": swing,
        "micro_timing_ms": timing,
        "ghost_note_prob": ghosts,
        "velocity_variation": variation,
    }
    assert get_style_id(name) == model
    assert find_style(name).usual_bpm == sum(tempi) / 2
    assert name in list_available_styles()


def test_there_are_many_styles_and_each_is_one_of_its_own() -> None:
    names = list_available_styles()
    assert len(names) == len(set(names)) == len(BUNDLED) >= 12
    alike = [find_style(name).model_dump_json(exclude={"name", "id", "description", "aliases", "figures", "bpm"})
             for name in names]  # fmt: skip
    assert len(set(alike)) == len(alike)


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_every_file_says_where_its_figures_are_from(path: Path) -> None:
    style = read_style(path)
    assert style.figures
    assert all(figure.source and figure.what for figure in style.figures)
    said = " ".join(figure.what for figure in style.figures)
    everything = "everything else" in said
    assert "bpm" in said or "tempo" in said or everything
    for name in ("swing_percent", "micro_timing_ms", "ghost_note_prob", "velocity_variation", "rolls", "lean"):
        value = getattr(style, name)
        if value not in (None, (), 0.0) and name not in said and not everything:
            plain = {"swing_percent": "swing", "micro_timing_ms": "timing", "ghost_note_prob": "ghost",
                     "velocity_variation": "dynamics", "lean": "grid"}  # fmt: skip
            assert plain.get(name, name) in said, f"{name} of {path.name} has no figure"
    for voice in style.voices or ():
        assert key_of_class(voice) in VOICES


def test_parameters_are_a_copy() -> None:
    params = get_style_params("J Dilla")
    params["swing_percent"] = 0
    assert get_style_params("J Dilla")["swing_percent"] == 62.0


@pytest.mark.parametrize("name", ["dilla", "j_dilla_v1", "J. DILLA", "jay dee", "Jay-Dee"])
def test_styles_answer_to_ids_and_aliases_however_spelt(name: str) -> None:
    assert find_style(name).name == "J Dilla"


def test_more_aliases() -> None:
    assert find_style("metro").name == "Metro Boomin"
    assert find_style("QUEST").name == "Questlove"


def test_an_unknown_name_is_told_the_nearest_and_all() -> None:
    with pytest.raises(UnknownStyleError, match=r"no style 'J Dila'\. Did you mean 'J Dilla'\? There is: Afro-Cuban"):
        find_style("J Dila")
    for name in ("wvvvw", "", "???"):
        with pytest.raises(UnknownStyleError, match="There is no style") as caught:
            get_style_params(name)
        assert "Did you mean" not in str(caught.value)
        assert all(style in str(caught.value) for style in list_available_styles())


PLAIN = 'name = "Mine"\nid = "mine"\ndescription = "of my own"\nbpm = [100, 120]\n'


def test_a_file_of_one_s_own_is_a_style(own: Path) -> None:
    (own / "mine.toml").write_text(PLAIN + 'aliases = ["me"]\nswing_percent = 55\n')
    assert list_available_styles()[-1] == "Mine"
    assert find_style("ME").swing_percent == 55
    assert get_style_params("mine")["ghost_note_prob"] is None


def test_a_name_in_any_alphabet_is_a_name(own: Path) -> None:
    (own / "a.toml").write_text('name = "Гопак"\nid = "hopak"\ndescription = "x"\nbpm = [100, 120]\n', "utf-8")
    (own / "b.toml").write_text('name = "音頭"\nid = "ondo"\ndescription = "x"\nbpm = [100, 120]\n', "utf-8")
    assert find_style("гопак").id == "hopak"
    assert find_style("音頭").id == "ondo"
    with pytest.raises(UnknownStyleError):
        find_style("!?")


def test_a_folder_that_is_not_there_holds_no_styles(monkeypatch: pytest.MonkeyPatch, own: Path) -> None:
    monkeypatch.setenv("TUTTI_STYLES_DIR", str(own / "none"))
    settings.cache_clear()
    assert len(load_styles()) == len(BUNDLED)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "cannot be read as a style"),
        ("", "name: Field required"),
        (PLAIN + "speed = 3\n", "speed: Extra inputs"),
        (PLAIN + "swing_percent = 80\n", "swing_percent: Input should be less"),
        (PLAIN + "swing_percent = nan\n", "swing_percent"),
        (PLAIN.replace("[100, 120]", "[120, 100]"), "bpm: .*the lower comes first"),
        (PLAIN.replace("[100, 120]", "[10, 100]"), "bpm.0"),
        (PLAIN.replace('"mine"', '"My Style"'), "id: String should match"),
        (PLAIN + '[told]\nstyle = "polka"\n', "told.style: .*knows no style 'polka'"),
        (PLAIN + '[told]\nsubstyle = "polka"\n', "told.substyle"),
        (PLAIN + '[[must]]\nvoice = "gong"\nsteps = [0]\n', "must.0.voice: .*no drum 'gong'"),
        (PLAIN + '[[must]]\nvoice = "kick"\nsteps = [48]\n', "must.0.steps.0"),
        (PLAIN + '[[lean]]\nvoice = "kick"\nlate_ms = [5, -5]\n', "lean.0.late_ms: .*the lower comes first"),
        (PLAIN + '[[lean]]\nvoice = "kick"\nlate_ms = [0, 61]\n', "lean.0.late_ms.1"),
        (PLAIN + "[rolls]\nchance = 0.5\ndivisions = [2]\n", "rolls.divisions.0"),
        (PLAIN + "[rolls]\nchance = 0.5\ndivisions = []\n", "rolls.divisions"),
        (PLAIN + "voices = []\n", "voices"),
        (
            PLAIN + 'voices = ["kick"]\n[[must]]\nvoice = "snare"\nsteps = [4]\n',
            "snare must be played, but is not among",
        ),
        (
            PLAIN + '[[must]]\nvoice = "kick"\nsteps = [0]\n[[never]]\nvoice = "kick"\nsteps = [0, 2]\n',
            "kick on sixteenth 0 must be played and never is",
        ),
        (PLAIN + "[keys]\nsnare = 99\n", "keys.snare"),
        (PLAIN + "[levels]\ngong = 99\n", "no drum 'gong'"),
        (PLAIN + '[[figures]]\nwhat = "x"\nbasis = "rumour"\nsource = "y"\n', "figures.0.basis"),
    ],
)
def test_a_malformed_file_names_itself_and_its_fault(text: str, says: str, own: Path) -> None:
    (own / "mine.toml").write_text(text)
    with pytest.raises(StyleError, match=says) as caught:
        load_styles()
    assert "mine.toml" in str(caught.value)


def test_a_file_that_is_no_text_or_no_file_is_named(own: Path) -> None:
    (own / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StyleError, match=r"mine\.toml cannot be read"):
        load_styles()
    (own / "mine.toml").unlink()
    (own / "mine.toml").mkdir()
    with pytest.raises(StyleError, match=r"mine\.toml cannot be read"):
        load_styles()


@pytest.mark.parametrize("name", ["J Dilla", "dilla", "J-Dilla"])
def test_no_two_answer_to_one_name(name: str, own: Path) -> None:
    (own / "mine.toml").write_text(PLAIN.replace("Mine", name))
    with pytest.raises(StyleError, match="both answer to"):
        load_styles()


def test_the_model_of_a_style_is_a_card_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.capabilities.groove.small_groove import small_card

    folder = small_card(tmp_path)
    monkeypatch.setattr(cards, "BUNDLED_CARDS", tmp_path / "no cards")
    monkeypatch.setenv("TUTTI_CARDS_DIR", str(folder))
    monkeypatch.setenv("TUTTI_CACHE_DIR", str(folder))
    settings.cache_clear()
    try:
        path = get_model_path("j_dilla_v1")
        assert path == get_model_path("Rock")
        assert path.name == "tutti-groove.safetensors"
        assert path.is_file()
        monkeypatch.setattr(
            styles, "find_style", lambda name: find_style(name).model_copy(update={"model": "no-such-model"})
        )
        with pytest.raises(UnknownModelError, match="no-such-model"):
            get_model_path("Rock")
        with pytest.raises(UnknownStyleError):
            get_model_path("polka")
    finally:
        settings.cache_clear()
