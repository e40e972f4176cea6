import os
from pathlib import Path

import pytest

from tutti.cli.inputs import Input, collect
from tutti.errors import InputAccessError, InputNotFoundError


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of empty files, and the current folder set to its parent."""
    root = tmp_path / "music"
    for name in ("a.wav", "B.MP3", "cover.jpg", ".hidden.wav", "live/c.flac", "live/deep/d.ogg", "notes/list.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return root


def names(*arguments: str) -> list[tuple[str, str]]:
    items = collect(arguments)
    assert all(item.fault is None for item in items)
    return [(item.name, str(item.relative)) for item in items]


@pytest.mark.usefixtures("music")
def test_a_file_is_taken_whatever_its_suffix_and_whether_or_not_it_is_there() -> None:
    assert names("music/cover.jpg", "gone.wav") == [("music/cover.jpg", "cover.jpg"), ("gone.wav", "gone.wav")]


@pytest.mark.usefixtures("music")
def test_a_folder_is_searched_to_the_bottom_for_recordings_and_keeps_its_tree() -> None:
    assert names("music") == [
        ("music/B.MP3", "B.MP3"),
        ("music/a.wav", "a.wav"),
        ("music/live/c.flac", "live/c.flac"),
        ("music/live/deep/d.ogg", "live/deep/d.ogg"),
    ]


@pytest.mark.usefixtures("music")
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("music/*.wav", [("music/a.wav", "a.wav")]),
        ("music/l*", [("music/live/c.flac", "live/c.flac"), ("music/live/deep/d.ogg", "live/deep/d.ogg")]),
        ("music/**/*.ogg", [("music/live/deep/d.ogg", "live/deep/d.ogg")]),
        ("*/live/?.flac", [("music/live/c.flac", "music/live/c.flac")]),
    ],
)
def test_a_quoted_glob_is_expanded(pattern: str, expected: list[tuple[str, str]]) -> None:
    assert names(pattern) == expected


def test_an_absolute_glob_is_expanded(music: Path) -> None:
    assert names(f"{music}/live/*.flac") == [(f"{music}/live/c.flac", "c.flac")]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(music: Path) -> None:
    (music / "take [1].wav").touch()
    assert names("music/take [1].wav") == [("music/take [1].wav", "take [1].wav")]


@pytest.mark.usefixtures("music")
def test_what_is_named_twice_is_taken_once() -> None:
    assert names("music/a.wav", "./music/a.wav", "music/*.wav") == [("music/a.wav", "a.wav")]


def test_standard_input_has_no_path() -> None:
    assert collect(["-", "-"]) == [Input("-", Path("stdin"))]
    assert collect(["-"])[0].path is None


@pytest.mark.usefixtures("music")
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("music/notes", "The folder 'music/notes' holds no recordings"),
        ("nothing/*.wav", r"Nothing matches 'nothing/\*.wav'"),
        ("music/not*", "Nothing matches"),
    ],
)
def test_what_holds_nothing_is_a_fault_of_its_own(argument: str, message: str) -> None:
    absent, present = collect([argument, "music/a.wav"])
    assert present.fault is None
    with pytest.raises(InputNotFoundError, match=message):
        raise absent.fault or AssertionError("no fault")


@pytest.fixture
def locked(music: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that may not be listed (root may list any, so the system's answer is given for it)."""
    live, scandir = music / "live", os.scandir

    def refused(path: str) -> object:
        if Path(path) == live:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    return live


def test_a_folder_that_may_not_be_read_is_said_to_be_so(locked: Path) -> None:
    (item,) = collect([str(locked)])
    assert item.name == str(locked)
    with pytest.raises(InputAccessError, match=r"live' may not be read"):
        raise item.fault or AssertionError("no fault")


def test_a_closed_folder_inside_takes_nothing_else_along(music: Path, locked: Path) -> None:
    *readable, closed = collect([str(music)])
    assert [item.name for item in readable] == [f"{music}/B.MP3", f"{music}/a.wav"]
    assert closed.name == str(locked)
    assert isinstance(closed.fault, InputAccessError)


def test_what_may_not_be_looked_at_is_left_to_whoever_opens_it(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (music / "gone.wav").symlink_to(music / "nowhere.wav")
    stat = Path.stat

    def refused(path: Path, **how: bool) -> os.stat_result:
        if path.name == "a.wav":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", refused)
    assert [item.relative.name for item in collect([str(music)])] == ["B.MP3", "a.wav", "c.flac", "d.ogg"]
    assert [item.relative.name for item in collect([f"{music}/*.wav"])] == ["a.wav", "gone.wav"]


@pytest.mark.parametrize(
    ("address", "called"),
    [
        ("https://example.org/music/My%20Song.mp3", "My_Song"),
        ("https://example.org/a/take-1.final.wav?session=3", "3"),
        ("HTTP://example.org/watch?v=dQw4w9WgXcQ&t=10", "dQw4w9WgXcQ"),
        ("https://example.org/", "example_org"),
        ("https://example.org", "example_org"),
        ("https://example.org/?q=%2F..%2F..%2Fetc", "_etc"),
        ("https://example.org/..", "_"),
        ("https://example.org/x?n=.", "_"),
        ("https://example.org/" + "x" * 300, "x" * 80),
        ("https://", "link"),
    ],
)
def test_results_of_a_link_are_called_after_it(address: str, called: str) -> None:
    (item,) = collect([address], links=True)
    assert item.is_link
    assert item.path is None
    assert item.fault is None
    assert item.name == address
    assert item.relative == Path(called)


@pytest.mark.usefixtures("music")
def test_links_stand_among_files_each_once() -> None:
    link = "https://example.org/song.mp3"
    items = collect([link, "music/a.wav", link, "-"], links=True)
    assert [(item.name, item.is_link) for item in items] == [(link, True), ("music/a.wav", False), ("-", False)]


def test_where_links_are_not_taken_an_address_is_a_path() -> None:
    (item,) = collect(["https://example.org/song.mp3"])
    assert not item.is_link
    assert item.path == Path("https://example.org/song.mp3")
