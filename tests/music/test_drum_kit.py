from tutti.music.drum_kit import DRUM_CLASSES, class_of_key, key_of_class
from tutti.music.instruments import percussion_name


def test_every_drum_class_has_a_key_that_reads_back() -> None:
    assert [class_of_key(key_of_class(name)) for name in DRUM_CLASSES] == list(DRUM_CLASSES)
    assert (class_of_key(22), class_of_key(26), class_of_key(75)) == ("hihat_closed", "hihat_open", None)


def test_the_written_keys_have_general_midi_names() -> None:
    names = {name: percussion_name(key_of_class(name)) for name in DRUM_CLASSES}
    assert names["kick"] == "Bass Drum 1"
    assert names["ride_bell"] == "Ride Bell"
    assert None not in names.values()
