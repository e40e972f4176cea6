import contextlib
import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tutti.errors import OutputError
from tutti.music.files import write_atomic


def failing(number: int) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@contextlib.contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """In the body nothing can be made in `folder`; root gives up its rights for that long."""
    folder.chmod(0o500)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


@pytest.mark.parametrize("name", ["plain.bin", "with space", "ünïcode ♪", "new\nline", ".hidden", "n" * 255])
def test_a_file_lands_whole_and_alone(tmp_path: Path, name: str) -> None:
    write_atomic(tmp_path / name, b"first")
    write_atomic(str(tmp_path / name), b"second")
    assert (tmp_path / name).read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("call", ["open", "fsync"])
@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "The disk is full: free some space."),
        (errno.EDQUOT, "The disk quota is used up: free some space."),
        (errno.EROFS, "That file system is read-only: choose another folder with -o."),
        (errno.EIO, "Choose another place with -o."),
    ],
)
def test_a_failing_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, advice: str
) -> None:
    write_atomic(tmp_path / "a", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(OutputError) as caught:
            write_atomic(tmp_path / "a", b"new")
    assert str(caught.value) == f"Could not write {str(tmp_path / 'a')!r}: {os.strerror(number)}. {advice}"
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_real_limit_on_file_size_is_an_output_error(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "from tutti.music.files import write_atomic\n"
        "from tutti.errors import OutputError\n"
        "try: write_atomic(sys.argv[1], bytes(5000))\n"
        "except OutputError as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", program, tmp_path / "a"], capture_output=True, text=True, check=True)
    assert "larger than this system allows" in answer.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_rights_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "shut"
    folder.mkdir()
    with without_rights(folder), pytest.raises(OutputError, match="You may not write there: choose another folder"):
        write_atomic(folder / "a", b"x")
    assert list(folder.iterdir()) == []


def test_a_device_keeps_its_place(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="device or pipe of that name"):
        write_atomic(tmp_path / "pipe", b"x")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        (".", "folder of that name"),
        ("no/a", "create it first"),
        ("file/a", "A part of the path is not a folder"),
        ("n" * 256, "The name is too long"),
        ("a\0b", "null byte. Choose another name"),
    ],
)
def test_a_path_that_cannot_be_written_is_told(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=advice):
        write_atomic(tmp_path / name, b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
