"""Output is always drained, kept within its limits and clean text."""

import resource
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from schedules.runner import Chunk, Command
from schedules.runner_output import HEAD_BYTES, HEAD_PIECES, TAIL_BYTES, TAIL_PIECES, Capture

MEGABYTE = 1024 * 1024


def captured(*pieces: tuple[str, bytes]):
    capture = Capture()
    for stream, data in pieces:
        capture.feed(stream, data)  # type: ignore[arg-type]
    return capture.output()


def text_of(chunks: tuple[Chunk, ...]) -> str:
    return "".join(chunk.text for chunk in chunks)


def test_pieces_stay_in_order_and_neighbours_of_one_stream_are_joined():
    output = captured(
        ("stdout", b"a"), ("stdout", b"b"), ("stderr", b"c"), ("stderr", b"d"), ("stdout", b"e")
    )

    assert output.head == (Chunk("stdout", "ab"), Chunk("stderr", "cd"), Chunk("stdout", "e"))
    assert (output.tail, output.bytes_seen, output.bytes_dropped) == ((), 5, 0)


def test_a_character_split_over_two_pieces_is_whole_even_with_the_other_stream_between():
    euro = "€".encode()

    output = captured(("stdout", b"1" + euro[:1]), ("stderr", b"!"), ("stdout", euro[1:]))

    assert output.head == (Chunk("stdout", "1"), Chunk("stderr", "!"), Chunk("stdout", "€"))


def test_nul_bad_utf8_and_surrogates_become_replacement_characters():
    output = captured(("stdout", b"a\x00b\xffc\xed\xa0\x80d\xe2\x82"))

    assert output.head == (Chunk("stdout", "a\ufffdb\ufffdc\ufffd\ufffd\ufffdd\ufffd"),)


def test_head_and_tail_are_kept_and_the_middle_is_counted():
    data = b"h" * HEAD_BYTES + b"m" * MEGABYTE + b"t" * TAIL_BYTES

    output = captured(*(("stdout", data[at : at + 1000]) for at in range(0, len(data), 1000)))

    assert output.head == (Chunk("stdout", "h" * HEAD_BYTES),)
    assert output.tail == (Chunk("stdout", "t" * TAIL_BYTES),)
    assert (output.bytes_seen, output.bytes_dropped) == (len(data), MEGABYTE)


def test_without_dropped_bytes_head_and_tail_are_one_text():
    text = "€" * ((HEAD_BYTES + TAIL_BYTES) // 3)

    output = captured(("stdout", text.encode()))

    assert output.bytes_dropped == 0
    assert output.tail != ()
    assert text_of(output.head + output.tail) == text


def test_characters_cut_at_the_gap_are_left_out():
    text = "€" * MEGABYTE  # three bytes each; neither limit is a multiple of three

    output = captured(("stdout", text.encode()))

    assert set(text_of(output.head + output.tail)) == {"€"}
    assert len(text_of(output.head)) == HEAD_BYTES // 3


def test_a_command_that_changes_streams_byte_by_byte_makes_a_bounded_number_of_pieces():
    output = captured(*[("stdout", b"o"), ("stderr", b"e")] * 50_000)

    assert len(output.head) == HEAD_PIECES
    assert len(output.tail) == TAIL_PIECES
    assert output.tail[-1] == Chunk("stderr", "e")
    assert output.bytes_seen == 100_000
    assert output.bytes_dropped == 100_000 - HEAD_PIECES - TAIL_PIECES


pieces = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=40_000)), max_size=20)


@given(pieces)
def test_output_is_always_clean_and_every_byte_is_accounted_for(fed):
    output = captured(*fed)

    everything = text_of(output.head + output.tail)
    everything.encode("utf-8")  # raises for a lone surrogate
    assert "\x00" not in everything
    assert output.bytes_seen == sum(len(data) for _, data in fed)
    kept = min(output.bytes_seen, HEAD_BYTES + TAIL_BYTES)
    assert output.bytes_dropped == output.bytes_seen - kept


def test_both_streams_arrive_in_order(launcher):
    text = "echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three"

    result = launcher.run(Command(text=text))

    assert result.output.head == (
        Chunk("stdout", "one\n"),
        Chunk("stderr", "two\n"),
        Chunk("stdout", "three\n"),
    )


def test_a_flood_costs_the_worker_no_memory_and_blocks_nothing(launcher):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    result = launcher.run(Command(text="head -c 200M /dev/zero; echo end", timeout=timedelta(seconds=60)))

    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert result.succeeded
    assert result.output.bytes_seen == 200 * MEGABYTE + len("end\n")
    assert text_of(result.output.tail).endswith("\ufffdend\n")
    assert grown * 1024 < 20 * MEGABYTE


def test_a_million_lines_of_both_streams_are_drained(launcher):
    text = "seq 500000; seq 500000 >&2"

    result = launcher.run(Command(text=text, timeout=timedelta(seconds=60)))

    assert result.succeeded
    assert text_of(result.output.head).startswith("1\n2\n3\n")
    assert text_of(result.output.tail).endswith("\n500000\n")
