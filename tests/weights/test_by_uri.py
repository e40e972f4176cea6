"""A model file named by URI, version and sha256."""

import os
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry as fsspec_registry

from tests.weights.conftest import CONTENT, Server
from tutti.errors import DownloadError, HashMismatchError, OptionError, OutputError, WeightsMissingError
from tutti.settings import read_settings, settings
from tutti.weights.by_uri import NamedFile, fetch_named, named_file

pytestmark = pytest.mark.usefixtures("folders")

RIGHT = sha256(CONTENT).hexdigest()


def wanted(folder: Path, uri: str | None, version: str = "1", digest: str = RIGHT) -> NamedFile:
    return NamedFile("complete_network", "complete_network.h5", version, digest, folder / "models", uri)


def left_in(folder: Path) -> set[str]:
    """Files below the cache, lock files apart."""
    return {path.name for path in (folder / "models").rglob("*") if path.is_file() and path.suffix != ".lock"}


def local_copy(folder: Path, content: bytes = CONTENT) -> str:
    path = folder / "a place with spaces" / "net.h5"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path.as_uri()


# what is asked for


def test_the_variables_ask_for_a_file() -> None:
    assert named_file(read_settings({}), "net", "net.h5", RIGHT) is None
    asked = named_file(read_settings({"MODEL_URI": "https://models.invalid/x.h5"}), "net", "net.h5", RIGHT)
    assert asked == NamedFile("net", "net.h5", "1", RIGHT, Path("/data/models"), "https://models.invalid/x.h5")
    assert asked.path == Path("/data/models/net/1/net.h5")
    asked = named_file(
        read_settings({"MODEL_VERSION": "2024-05", "MODEL_SHA256": "AB" * 32, "MODEL_CACHE_DIR": "/m"}),
        "net",
        "net.h5",
        RIGHT,
    )
    assert asked == NamedFile("net", "net.h5", "2024-05", "ab" * 32, Path("/m"), None)


# getting it


def test_a_local_file_is_copied_once(folders: Path) -> None:
    uri = local_copy(folders)
    path = fetch_named(wanted(folders, uri))
    assert path == folders / "models" / "complete_network" / "1" / "complete_network.h5"
    assert path.read_bytes() == CONTENT
    local_copy(folders, b"another since")
    assert fetch_named(wanted(folders, uri)) == path
    assert left_in(folders) == {"complete_network.h5"}


def test_the_web_is_asked_once_and_progress_is_told(folders: Path, server: Server) -> None:
    told: list[tuple[int, int]] = []
    path = fetch_named(wanted(folders, server.uri), lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    asked = len(server.asked)
    fetch_named(wanted(folders, server.uri))
    assert len(server.asked) == asked


def test_s3_is_fetched_through_its_own_file_system(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bucket(MemoryFileSystem):  # type: ignore[misc]
        protocol = "s3"

    monkeypatch.setitem(fsspec_registry, "s3", Bucket)
    Bucket().pipe("s3://bucket/net.h5", CONTENT)
    assert fetch_named(wanted(folders, "s3://bucket/net.h5")).read_bytes() == CONTENT


def test_a_new_version_is_fetched_anew_and_the_old_one_stays(folders: Path, server: Server) -> None:
    first = fetch_named(wanted(folders, server.uri))
    server.content = b"better weights"
    second = fetch_named(wanted(folders, server.uri, "2", sha256(server.content).hexdigest()))
    assert second.parent.name == "2"
    assert (first.read_bytes(), second.read_bytes()) == (CONTENT, b"better weights")


def test_a_file_that_is_in_the_cache_needs_no_uri(folders: Path) -> None:
    path = fetch_named(wanted(folders, local_copy(folders)))
    assert fetch_named(wanted(folders, None)) == path
    with pytest.raises(WeightsMissingError, match="MODEL_URI does not say where"):
        fetch_named(wanted(folders, None, "2"))


def test_two_workers_at_once_fetch_it_once(folders: Path, server: Server) -> None:
    found: list[Path] = []
    workers = [
        threading.Thread(target=lambda: found.append(fetch_named(wanted(folders, server.uri)))) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [wanted(folders, None).path] * 3
    assert found[0].read_bytes() == CONTENT
    assert len(server.gets) == 1


def test_two_processes_at_once_fetch_it_once(folders: Path, server: Server) -> None:
    program = (
        "import sys; from pathlib import Path; from tutti.weights.by_uri import NamedFile, fetch_named; "
        "print(fetch_named(NamedFile('net', 'net.h5', '1', sys.argv[2], Path(sys.argv[3]), sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, server.uri, RIGHT, str(folders / "models")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {worker.communicate(timeout=60)[0] for worker in workers}
    assert answers == {f"{folders / 'models' / 'net' / '1' / 'net.h5'}\n"}
    assert len(server.gets) == 1


# what goes wrong


def test_another_file_than_the_hash_says_leaves_nothing(folders: Path, server: Server) -> None:
    for uri in (server.uri, local_copy(folders)):
        with pytest.raises(HashMismatchError, match=f"has the sha256 {RIGHT}, not {'0' * 64}; it was not kept"):
            fetch_named(wanted(folders, uri, digest="0" * 64))
        assert left_in(folders) == set()


def test_a_truncated_file_is_another_file(folders: Path, server: Server) -> None:
    with pytest.raises(HashMismatchError):
        fetch_named(wanted(folders, local_copy(folders, CONTENT[:-1])))
    server.says_size, server.breaks_at = False, 1_000_000
    with pytest.raises(HashMismatchError):
        fetch_named(wanted(folders, server.uri))
    assert left_in(folders) == set()


def test_a_fetch_that_broke_off_is_continued(folders: Path, server: Server) -> None:
    server.breaks_at = 5_000_000
    with pytest.raises(DownloadError):
        fetch_named(wanted(folders, server.uri))
    assert not wanted(folders, None).path.exists()
    server.breaks_at = None
    assert fetch_named(wanted(folders, server.uri)).read_bytes() == CONTENT
    assert not any(ranged is None for ranged in server.gets[1:])


def test_a_half_of_another_file_is_thrown_away(folders: Path, server: Server) -> None:
    path = wanted(folders, None).path
    path.parent.mkdir(parents=True)
    part = path.with_name(path.name + ".part")
    for half in (b"of another file", CONTENT + b"and more"):
        part.write_bytes(half)
        assert fetch_named(wanted(folders, server.uri)).read_bytes() == CONTENT
        path.unlink()


def test_a_wrong_file_in_the_cache_is_replaced(folders: Path, server: Server) -> None:
    path = wanted(folders, None).path
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:1000])
    with pytest.raises(WeightsMissingError, match="is not there or not the file with sha256"):
        fetch_named(wanted(folders, None))
    assert fetch_named(wanted(folders, server.uri)).read_bytes() == CONTENT


def test_offline_only_the_cache_serves(folders: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTTI_OFFLINE", "1")
    settings.cache_clear()
    with pytest.raises(WeightsMissingError, match="TUTTI_OFFLINE is set"):
        fetch_named(wanted(folders, server.uri))
    assert server.asked == []
    path = wanted(folders, None).path
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch_named(wanted(folders, server.uri)) == path


def test_a_server_that_refuses(folders: Path, server: Server) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="HTTP status 404"):
        fetch_named(wanted(folders, server.uri))
    assert left_in(folders) == set()


@pytest.mark.parametrize("uri", ["ftp://a/b.h5", "https://", "https://a/", "complete_network.h5", "file:///"])
def test_a_uri_that_names_no_file(folders: Path, uri: str) -> None:
    with pytest.raises(OptionError, match="MODEL_URI: "):
        fetch_named(wanted(folders, uri))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes everywhere")
def test_a_cache_that_may_only_be_read_serves_what_it_holds(folders: Path) -> None:
    path = fetch_named(wanted(folders, local_copy(folders)))
    path.parent.chmod(0o500)
    try:
        assert fetch_named(wanted(folders, None)) == path
    finally:
        path.parent.chmod(0o700)


def test_a_cache_that_cannot_be_written_is_said_with_its_variable(folders: Path) -> None:
    (folders / "models").write_bytes(b"a file where a folder should be")
    with pytest.raises(OutputError, match="Set MODEL_CACHE_DIR to another folder"):
        fetch_named(wanted(folders, local_copy(folders)))


def test_nothing_is_written_when_the_cache_serves(folders: Path) -> None:
    path = fetch_named(wanted(folders, local_copy(folders)))
    for extra in path.parent.glob("*.lock"):
        extra.unlink()
    fetch_named(wanted(folders, local_copy(folders)))
    assert list(path.parent.iterdir()) == [path]
