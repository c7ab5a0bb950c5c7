"""Output is always drained, kept within its limits and clean text."""

import os
import resource
import sys
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.runner.messages import Chunk, Command, Ending
from schedules.runner.output import HEAD_BYTES, HEAD_PIECES, TAIL_BYTES, TAIL_PIECES, Capture

from .conftest import children_of, read, zygote_of

MEGABYTE = 1024 * 1024

PYTHON = sys.executable
LONG = timedelta(seconds=120)


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


@pytest.mark.parametrize("character", ["é", "€", "😀"])
@pytest.mark.parametrize("shift", range(4))
def test_a_character_is_whole_or_absent_wherever_the_borders_cut_it(character, shift):
    """Every position of a character of two, three and four bytes on both borders."""
    text = "." * shift + character * MEGABYTE

    output = captured(("stdout", text.encode()))

    size = len(character.encode())
    assert text_of(output.head) == "." * shift + character * ((HEAD_BYTES - shift) // size)
    assert set(text_of(output.tail)) == {character}
    assert len(text_of(output.tail)) == TAIL_BYTES // size


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


@pytest.mark.system  # seconds of reading
def test_two_gigabytes_without_a_newline_leave_worker_and_runner_small_and_the_ends_exact(launcher):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = "printf begin; head -c 2G /dev/zero | tr '\\0' x; printf end"

    result = launcher.run(Command(text=text, timeout=LONG))

    assert result.succeeded
    assert result.output.bytes_seen == 2048 * MEGABYTE + len("beginend")
    assert result.output.bytes_dropped == result.output.bytes_seen - HEAD_BYTES - TAIL_BYTES
    assert text_of(result.output.head) == "begin" + "x" * (HEAD_BYTES - 5)
    assert text_of(result.output.tail) == "x" * (TAIL_BYTES - 3) + "end"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
    assert peak_of_runner() < 50 * MEGABYTE


def test_a_million_coloured_lines_leave_the_runner_small_and_the_ends_exact(launcher):
    code = r"""
import sys
line = "\x1b[1;31mline %d\x1b[0m\r\n"
for start in range(0, 1_000_000, 10_000):
    sys.stdout.write("".join(line % n for n in range(start, start + 10_000)))
"""
    result = launcher.run(Command(text=f"exec {PYTHON} -", stdin=code, timeout=LONG))

    assert result.succeeded, result.output
    everything = "".join(f"\x1b[1;31mline {n}\x1b[0m\r\n" for n in range(1_000_000))
    assert result.output.bytes_seen == len(everything)
    assert text_of(result.output.head) == everything[:HEAD_BYTES]
    assert text_of(result.output.tail) == everything[-TAIL_BYTES:]
    assert peak_of_runner() < 50 * MEGABYTE


def test_a_flood_of_single_bytes_on_both_streams_leaves_the_runner_small(launcher):
    code = "import os\nfor n in range(100_000): os.write(1 + n % 2, b'\\x00')"

    result = launcher.run(Command(text=f'exec {PYTHON} -c "{code}"', timeout=LONG))

    assert result.succeeded
    assert result.output.bytes_seen == 100_000
    assert set(text_of(result.output.head + result.output.tail)) == {"\ufffd"}
    assert peak_of_runner() < 50 * MEGABYTE


def test_what_is_no_text_at_both_borders_arrives_as_text(launcher):
    """NUL, half a character, a lone surrogate: a database takes none of them."""
    code = r"""
import sys
bad = b"\x00\xff\xed\xa0\x80\xe2\x82"
parts = b"h" * (65536 - 3), bad, b"m" * 1_000_000, bad, b"t" * (196608 - 3)
sys.stdout.buffer.write(b"".join(parts))
"""
    result = launcher.run(Command(text=f"exec {PYTHON} -", stdin=code))

    head, tail = text_of(result.output.head), text_of(result.output.tail)
    assert result.succeeded
    assert head == "h" * (HEAD_BYTES - 3) + "\ufffd\ufffd"  # NUL, 0xff; what the gap cut is left out
    assert tail.lstrip("\ufffd") == "t" * (TAIL_BYTES - 3)
    assert result.output.bytes_seen == 65536 - 3 + 7 + 1_000_000 + 7 + 196608 - 3


def test_a_command_that_closes_its_output_goes_on_to_its_own_end(launcher, tmp_path):
    text = f"echo first; exec >&- 2>&-; echo second; sleep 0.3; touch {tmp_path}/reached; exit 3"

    result = launcher.run(Command(text=text))

    assert (result.ending, result.exit_code) == (Ending.EXITED, 3)
    assert text_of(result.output.head) == "first\n"
    assert (tmp_path / "reached").exists()


def test_a_daemon_that_floods_the_pipe_it_kept_neither_delays_the_end_nor_fills_memory(marked):
    result = marked.run("setsid yes & echo done; exit 4", timeout=LONG)

    assert (result.ending, result.exit_code, result.leftovers) == (Ending.EXITED, 4, 1)
    assert result.duration < LONG
    assert text_of(result.output.tail).endswith("y\ny\n")
    assert marked.alive() == []
    assert peak_of_runner() < 50 * MEGABYTE


def test_input_that_nobody_reads_and_output_that_floods_do_not_wait_for_each_other(launcher):
    result = launcher.run(Command(text="head -c 5M /dev/zero; exit 0", stdin="x" * 5_000_000, timeout=LONG))

    assert result.succeeded
    assert result.output.bytes_seen == 5 * MEGABYTE


def peak_of_runner() -> int:
    """The most memory that the only runner has held, in bytes; it waits for its next command."""
    [runner] = children_of(zygote_of(os.getpid()))
    lines = read(f"/proc/{runner}/status").decode().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024
