import pytest

from tutti.capabilities.transcription.codec import CODECS, EOS, PAD, UNK, CodecName, Event, EventKind

# first ids as the published vocabularies have them
FIRST_IDS: dict[CodecName, dict[EventKind, int]] = {
    "mt3": {"shift": 3, "pitch": 1004, "velocity": 1132, "tie": 1134, "program": 1135, "drum": 1263},
    "ismir2021": {"shift": 3, "pitch": 1004, "velocity": 1132, "tie": 1260, "program": 1261, "drum": 1389},
    "ymt3": {"shift": 3, "pitch": 209, "velocity": 337, "tie": 339, "program": 340, "drum": 468},
}
SIZES: dict[CodecName, int] = {"mt3": 1536, "ismir2021": 1664, "ymt3": 596}


@pytest.mark.parametrize("name", CODECS)
def test_ids_are_those_of_the_published_vocabularies(name: CodecName) -> None:
    codec = CODECS[name]
    assert codec.size == SIZES[name]
    assert {span.kind: codec.encode(span.kind) for span in codec.ranges} == FIRST_IDS[name]


@pytest.mark.parametrize("name", CODECS)
def test_every_id_decodes_to_the_event_that_encodes_to_it(name: CodecName) -> None:
    codec = CODECS[name]
    events = {token: codec.decode(token) for token in range(codec.size)}
    assert all(codec.encode(event.kind, event.value) == token for token, event in events.items() if event is not None)
    known = sum(event is not None for event in events.values())
    assert known == sum(span.size for span in codec.ranges)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("token", [-1, PAD, EOS, UNK, 10_000])
def test_ids_that_are_no_events_decode_to_nothing(name: CodecName, token: int) -> None:
    assert CODECS[name].decode(token) is None


def test_ids_behind_the_last_event_decode_to_nothing() -> None:
    assert CODECS["mt3"].decode(1390) == Event("drum", 127)
    assert CODECS["mt3"].decode(1391) is None
    assert CODECS["ymt3"].decode(595) == Event("drum", 127)


@pytest.mark.parametrize(
    ("kind", "value"), [("shift", 1001), ("pitch", 128), ("velocity", 2), ("tie", 1), ("drum", -1)]
)
def test_events_that_the_vocabulary_lacks_are_refused(kind: EventKind, value: int) -> None:
    with pytest.raises(ValueError, match=f"mt3 has no event {kind} {value}"):
        CODECS["mt3"].encode(kind, value)


def test_loudness_in_one_bin_and_in_127() -> None:
    one, many = CODECS["mt3"], CODECS["ismir2021"]
    assert (one.velocity_bins, many.velocity_bins) == (1, 127)
    assert [one.to_velocity(value) for value in (0, 1)] == [0, 127]
    assert [one.to_velocity_bin(velocity) for velocity in (0, 1, 64, 127)] == [0, 1, 1, 1]
    assert [many.to_velocity_bin(many.to_velocity(value)) for value in range(128)] == list(range(128))
