import errno
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry as fsspec_registry
from packaging.requirements import Requirement

from tests.weights.conftest import CONTENT, Server
from tutti.errors import (
    DownloadError,
    HashMismatchError,
    MissingExtraError,
    OptionError,
    OutputError,
    WeightsMissingError,
)
from tutti.settings import settings
from tutti.weights import fetching, locking, store
from tutti.weights.cards import BUNDLED, Card
from tutti.weights.store import hash_of, locate, path_of, pull, verify

MakeCard = Callable[..., Card]

pytestmark = pytest.mark.usefixtures("folders")


def part_of(card: Card) -> Path:
    path = path_of(card)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + ".part")


def left_in(folder: Path) -> set[str]:
    """Files below the cache, lock files apart."""
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def local_copy(folder: Path, content: bytes = CONTENT) -> str:
    path = folder / "a place with spaces" / "far.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path.as_uri()


# where files lie and whether they are right


def test_fetched_weights_lie_under_their_hash(folders: Path, make_card: MakeCard) -> None:
    card = make_card()
    assert path_of(card) == folders / "cache" / "weights" / card.sha256 / "far.safetensors"


def test_weights_that_are_not_here_are_told_how_to_get(make_card: MakeCard) -> None:
    card = make_card()
    with pytest.raises(WeightsMissingError) as caught:
        locate(card)
    assert str(caught.value) == f"The weights of far are not at {path_of(card)}. Fetch it: tutti models pull far."


def test_bundled_weights_that_are_gone_are_mended_by_installing(make_card: MakeCard) -> None:
    card = make_card(BUNDLED, file="gone.safetensors")
    for look in (locate, pull):
        with pytest.raises(WeightsMissingError, match="Install tutti again"):
            look(card)


def test_a_file_is_read_once_and_again_after_it_changed(make_card: MakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    card, read = make_card(), []
    part_of(card)
    path_of(card).write_bytes(CONTENT)

    def counted(path: Path) -> str:
        read.append(path)
        return hash_of(path)

    monkeypatch.setattr(store, "hash_of", counted)
    assert [locate(card) for _ in range(3)] == [path_of(card)] * 3
    assert len(read) == 1
    changed = bytearray(CONTENT)
    changed[0] ^= 1
    path_of(card).write_bytes(changed)
    os.utime(path_of(card), ns=(1, 1))
    with pytest.raises(HashMismatchError, match="is not the file that the card of far names"):
        locate(card)
    assert len(read) == 2


def test_a_short_file_is_wrong_without_reading_it(make_card: MakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    card = make_card()
    part_of(card)
    path_of(card).write_bytes(CONTENT[:-1])
    monkeypatch.setattr(store, "hash_of", lambda _path: pytest.fail("read"))
    with pytest.raises(HashMismatchError):
        verify(card)


def test_verifying_what_is_not_here_says_so(make_card: MakeCard) -> None:
    with pytest.raises(WeightsMissingError, match="No such file"):
        verify(make_card())


# fetching by card


def test_a_fetch_over_http_lands_whole_and_tells_its_progress(
    folders: Path, make_card: MakeCard, server: Server
) -> None:
    told: list[tuple[int, int]] = []
    card = make_card(server.uri)
    path = pull(card, lambda done, total: told.append((done, total)))
    assert path == path_of(card) == locate(card)
    assert path.read_bytes() == CONTENT
    assert left_in(folders / "cache") == {"far.safetensors"}
    assert server.gets == [None]  # one answer, streamed
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_what_is_here_is_not_fetched_again(make_card: MakeCard, server: Server) -> None:
    card = make_card(server.uri)
    pull(card)
    server.asked.clear()
    pull(card)
    assert server.asked == []


def test_a_fetch_that_broke_off_is_continued(folders: Path, make_card: MakeCard, server: Server) -> None:
    card = make_card(server.uri)
    server.breaks_at = 5_000_000
    with pytest.raises(DownloadError, match=r"far\.safetensors could not be fetched .*what has arrived is kept"):
        pull(card)
    half = part_of(card).stat().st_size
    assert 0 < half <= 5_000_000
    with pytest.raises(WeightsMissingError):
        locate(card)

    server.breaks_at = None
    server.asked.clear()
    assert pull(card).read_bytes() == CONTENT
    first, *_ = server.gets
    assert first is not None
    assert first.startswith(f"bytes={half}-")
    assert left_in(folders / "cache") == {"far.safetensors"}


def test_a_server_without_ranges_is_asked_from_the_beginning(make_card: MakeCard, server: Server) -> None:
    card = make_card(server.uri)
    server.ranges = False
    part_of(card).write_bytes(CONTENT[:6_000_000])
    assert pull(card).read_bytes() == CONTENT


def test_a_server_that_tells_no_size_will_do(make_card: MakeCard, server: Server) -> None:
    server.says_size = False
    assert pull(make_card(server.uri)).read_bytes() == CONTENT


def test_an_answer_that_ends_early_without_a_word_is_noticed(make_card: MakeCard, server: Server) -> None:
    server.says_size = False
    server.breaks_at = 3_000_000
    with pytest.raises(DownloadError, match=f"broke off at byte 3000000 of {len(CONTENT)}"):
        pull(make_card(server.uri))


def test_an_answer_without_end_is_cut(folders: Path, make_card: MakeCard, server: Server) -> None:
    server.says_size = False
    server.content = CONTENT * 2
    with pytest.raises(DownloadError, match=f"sent more than the {len(CONTENT)} bytes"):
        pull(make_card(server.uri))
    assert [path.stat().st_size for path in (folders / "cache").rglob("*.part")] == [0]


def test_a_whole_part_lands_without_asking_anybody(make_card: MakeCard, server: Server) -> None:
    card = make_card(server.uri)
    part_of(card).write_bytes(CONTENT)
    assert pull(card).read_bytes() == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("half", [b"x" * 1000, b"x" * (len(CONTENT) + 1), b"x" * len(CONTENT)])
def test_a_half_of_another_file_is_thrown_away(make_card: MakeCard, server: Server, half: bytes) -> None:
    card = make_card(server.uri)
    part_of(card).write_bytes(half)
    assert pull(card).read_bytes() == CONTENT


def test_a_wrong_file_in_the_cache_is_replaced(make_card: MakeCard, server: Server) -> None:
    card = make_card(server.uri)
    part_of(card)
    path_of(card).write_bytes(b"x" * len(CONTENT))
    assert pull(card).read_bytes() == CONTENT


def test_a_wrong_file_at_the_source_is_an_error_and_is_not_kept(
    folders: Path, make_card: MakeCard, server: Server
) -> None:
    card = make_card(server.uri)
    server.content = b"x" * len(CONTENT)
    with pytest.raises(HashMismatchError, match="is not the file that the card of far names; it was removed"):
        pull(card)
    assert left_in(folders / "cache") == set()


def test_a_file_of_another_size_is_not_fetched(folders: Path, make_card: MakeCard, server: Server) -> None:
    server.content = b"short"
    with pytest.raises(DownloadError, match=f"holds 5 bytes, the card says {len(CONTENT)}"):
        pull(make_card(server.uri))
    assert left_in(folders / "cache") == set()


def test_the_next_location_is_tried(folders: Path, make_card: MakeCard, server: Server) -> None:
    server.status = 404
    assert pull(make_card(server.uri, local_copy(folders))).read_bytes() == CONTENT


def test_when_every_location_fails_each_is_named_without_its_secrets(make_card: MakeCard, server: Server) -> None:
    server.status = 500
    secret = server.uri.replace("http://", "http://me:word@") + "?key=hidden"
    with pytest.raises(DownloadError) as caught:
        pull(make_card(secret, "file:///nowhere/far.safetensors"))
    message = str(caught.value)
    assert message.startswith("Could not fetch far. ")
    assert server.uri in message
    assert "(HTTP status 500)" in message
    assert "file:///nowhere/far.safetensors" in message
    assert "word" not in message
    assert "hidden" not in message


def test_nobody_listening_is_a_failed_fetch(make_card: MakeCard) -> None:
    uri = "http://127.0.0.1:1/far.safetensors"
    with pytest.raises(DownloadError, match=r"could not be fetched \(.*127\.0\.0\.1"):
        pull(make_card(uri))


def test_a_file_on_this_machine(folders: Path, make_card: MakeCard) -> None:
    assert pull(make_card(local_copy(folders))).read_bytes() == CONTENT


def test_a_file_on_this_machine_is_continued_too(folders: Path, make_card: MakeCard) -> None:
    card = make_card(local_copy(folders))
    part_of(card).write_bytes(CONTENT[:100])
    told: list[int] = []
    assert pull(card, lambda done, _total: told.append(done)).read_bytes() == CONTENT
    assert told[0] == 100


def test_a_folder_is_no_file(folders: Path, make_card: MakeCard) -> None:
    with pytest.raises(DownloadError, match="cards is a folder"):
        pull(make_card((folders / "cards").as_uri()))


class Buckets(MemoryFileSystem):
    """Stands for s3fs, which is not needed to test how it is called."""

    protocol = "s3"
    store: dict[str, Any] = {}  # noqa: RUF012 - as its parent has it
    pseudo_dirs = [""]  # noqa: RUF012


def test_a_bucket_is_fetched_from_and_continued(make_card: MakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsspec_registry, "s3", Buckets)
    Buckets().pipe("s3://bucket/far.safetensors", CONTENT)
    card = make_card("s3://bucket/far.safetensors")
    part_of(card).write_bytes(CONTENT[:5000])
    told: list[int] = []
    assert pull(card, lambda done, _total: told.append(done)).read_bytes() == CONTENT
    assert told[0] == 5000


@pytest.mark.parametrize(("uri", "module", "extra"), [("s3://a/b", "s3fs", "s3"), ("http://a/b", "aiohttp", "http")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    make_card: MakeCard, monkeypatch: pytest.MonkeyPatch, uri: str, module: str, extra: str
) -> None:
    scheme = uri.partition(":")[0]
    monkeypatch.delitem(fsspec_registry, scheme, raising=False)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        pull(make_card(uri))
    assert str(caught.value).endswith(f"needs one more package. Run: pip install 'tutti[{extra}]'")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert any(Requirement(text).name == module for text in project["optional-dependencies"][extra])


def test_offline_nothing_is_fetched(make_card: MakeCard, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTTI_OFFLINE", "1")
    settings.cache_clear()
    for what in (make_card(server.uri), server.uri):
        with pytest.raises(WeightsMissingError, match=r"TUTTI_OFFLINE is set\. Unset it"):
            pull(what)
    assert server.asked == []


# disks


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    make_card: MakeCard, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = fetching.shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(OutputError, match=f"has room for 1000 of {len(CONTENT)} bytes"):
        pull(make_card(server.uri))
    assert server.gets == []


def test_a_disk_that_fills_up_is_told_and_nothing_is_left(
    folders: Path, make_card: MakeCard, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching.os, "fsync", full)
    with pytest.raises(OutputError, match="The disk is full"):
        pull(make_card(server.uri))
    assert left_in(folders / "cache") == set()


def test_a_cache_that_cannot_be_written_names_the_setting(folders: Path, make_card: MakeCard, server: Server) -> None:
    (folders / "cache").write_text("a file in the way")
    with pytest.raises(OutputError, match="Set TUTTI_CACHE_DIR to another folder"):
        pull(make_card(server.uri))


# two at once

HOLDER = """
import sys
from pathlib import Path
from tutti.weights.locking import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_fetch_waits_for_another_process_and_uses_what_it_brought(
    make_card: MakeCard, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, waits = make_card(server.uri), []
    lock = part_of(card).with_suffix(".lock")
    other = subprocess.Popen([sys.executable, "-c", HOLDER, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"

    def the_other_finishes(_pause_s: float) -> None:
        waits.append(1)
        path_of(card).write_bytes(CONTENT)
        other.communicate()

    monkeypatch.setattr(locking.time, "sleep", the_other_finishes)
    assert pull(card).read_bytes() == CONTENT
    assert waits
    assert server.asked == []
    assert other.returncode == 0


def test_patience_with_another_process_ends(
    make_card: MakeCard, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = make_card(server.uri)
    clock = iter(range(0, 10_000, 400))
    monkeypatch.setattr(locking.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(locking.time, "sleep", lambda _pause_s: None)
    with (
        locking.locked(part_of(card).with_suffix(".lock")),
        pytest.raises(DownloadError, match="Another process has been fetching"),
    ):
        pull(card)


def test_threads_that_pull_one_model_fetch_it_once(make_card: MakeCard, server: Server) -> None:
    card, results = make_card(server.uri), []
    threads = [threading.Thread(target=lambda: results.append(pull(card))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [path_of(card)] * 4
    assert len(server.gets) == 1


# fetching by URI


def test_a_uri_lands_under_the_hash_of_its_file(folders: Path, server: Server) -> None:
    path = pull(server.uri)
    assert path == folders / "cache" / "weights" / sha256(CONTENT).hexdigest() / "far.safetensors"
    assert path.read_bytes() == CONTENT
    assert left_in(folders / "cache") == {"far.safetensors"}


def test_a_uri_that_broke_off_is_continued_while_its_file_stays_the_same(server: Server) -> None:
    server.breaks_at = 5_000_000
    with pytest.raises(DownloadError):
        pull(server.uri)
    server.breaks_at = None
    server.asked.clear()
    assert pull(server.uri).read_bytes() == CONTENT
    assert server.gets[0] is not None


@pytest.mark.parametrize("etag", ['"2"', ""])
def test_a_uri_whose_file_may_have_changed_is_fetched_anew(server: Server, etag: str) -> None:
    server.breaks_at = 5_000_000
    with pytest.raises(DownloadError):
        pull(server.uri)
    server.breaks_at, server.etag, server.content = None, etag, CONTENT[::-1]
    server.asked.clear()
    assert pull(server.uri).read_bytes() == CONTENT[::-1]
    assert server.gets == [None]


@pytest.mark.parametrize(
    "uri", ["ftp://a/b", "https://a/", "https://a/..%2F..%2Fx", "https://a/%2e%2e", "https://a/a%0Ab"]
)
def test_a_uri_that_names_no_file_is_refused(uri: str, folders: Path) -> None:
    with pytest.raises(OptionError, match=r"no place to fetch from|names no file"):
        pull(uri)
    assert not (folders / "cache").exists()
