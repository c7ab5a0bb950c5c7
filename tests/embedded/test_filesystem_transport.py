"""The embedded broker loses nothing, doubles nothing, and survives what it finds in its directory."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Queue
from kombu.exceptions import ChannelError

from scheduler import filesystem
from scheduler.filesystem import BROADCASTS_KEPT, Transport
from scheduler.folder import BAD_KEPT, Folder, file_name, tidy

DOORBELLS = Queue("commands", Exchange("commands", type="direct"), routing_key="commands")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "queue"


@pytest.fixture
def connection(folder: Path) -> Iterator[Connection]:
    with connect(folder) as opened:
        yield opened


def connect(folder: Path) -> Connection:
    return Connection("filesystem://", transport=Transport, transport_options={"folder": str(folder)})


def open_channel(connection: Connection) -> Any:
    return connection.channel()


def send(connection: Connection, *bodies: object, queue: Queue = DOORBELLS) -> None:
    with connection.Producer() as producer:
        for body in bodies:
            producer.publish(
                body,
                exchange=queue.exchange,
                routing_key=queue.routing_key,
                declare=[queue],
                serializer="json",
            )


def receive_all(connection: Connection, queue: Queue = DOORBELLS) -> list[object]:
    channel = open_channel(connection)
    bound = queue(channel)
    bodies = []
    while (message := bound.get(no_ack=True)) is not None:
        bodies.append(message.payload)
    channel.close()
    return bodies


def take(channel: Any) -> object:
    message = DOORBELLS(channel).get(no_ack=True)
    if message is None:
        raise Empty
    return message.payload


def size(channel: Any, queue: Queue) -> int:
    declared: Any = queue(channel).queue_declare(passive=True)
    return int(declared.message_count)


def waiting_files(folder: Path, queue: str = "commands") -> list[Path]:
    return sorted((folder / "messages" / queue).iterdir())


class Loop:
    """A worker's event loop, as far as the transport knows it."""

    def __init__(self, connection: Connection) -> None:
        self.looks: list[Any] = []
        self.soon: list[Any] = []
        connection.transport.register_with_event_loop(connection, self)

    def call_repeatedly(self, seconds: float, look: Any) -> None:
        self.looks.append(look)

    def call_soon(self, look: Any) -> None:
        self.soon.append(look)

    def look(self) -> None:
        """What is called every so many seconds."""
        self.looks[0]()

    def run_what_is_due_now(self) -> None:
        while self.soon:
            self.soon.pop(0)()


def test_a_message_that_waits_for_room_is_taken_as_soon_as_there_is_some(connection: Connection) -> None:
    """Not at the next look: a worker of two children would begin two messages in each."""
    seen = []
    channel = open_channel(connection)
    channel.basic_qos(0, 1, False)
    send(connection, *range(5))
    loop = Loop(connection)

    def read(body: object, message: Any) -> None:
        seen.append(body)
        loop.soon.append(message.ack)  # when a child has begun it

    with Consumer(channel, queues=[DOORBELLS], callbacks=[read], accept=["json"]):
        loop.look()
        assert seen == [0]
        loop.run_what_is_due_now()
    assert seen == [0, 1, 2, 3, 4]


def test_what_is_to_be_looked_at_soon_is_left_where_the_connection_is_closed(connection: Connection) -> None:
    channel = open_channel(connection)
    loop = Loop(connection)
    transport: Any = connection.transport
    transport.look_soon()
    channel.close()
    connection.transport.close_connection(connection.connection)
    loop.run_what_is_due_now()


def test_messages_that_their_reader_chokes_on_stop_no_other(connection: Connection) -> None:
    """More of them than a worker takes at a time: held, they would be its last."""
    seen = []

    def read(body: object, message: Any) -> None:
        if body != "good":
            raise KeyError("id")
        seen.append(body)
        message.ack()

    channel = open_channel(connection)
    channel.basic_qos(0, 2, False)
    send(connection, *range(5), "good")
    with Consumer(channel, queues=[DOORBELLS], callbacks=[read], accept=["json"]):
        Loop(connection).look()
    assert seen == ["good"]
    assert receive_all(connection) == []


@pytest.mark.parametrize("trouble", [OSError(13, "Permission denied"), ChannelError("no directory")])
def test_a_directory_in_trouble_has_the_worker_connect_anew(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    monkeypatch.setattr(filesystem, "REST_SECONDS", 0)

    def fail(*_: Any) -> None:
        raise trouble

    channel = open_channel(connection)
    with Consumer(channel, queues=[DOORBELLS], callbacks=[print], accept=["json"]):
        monkeypatch.setattr(channel, "_get", fail)
        with pytest.raises(connection.connection_errors):
            Loop(connection).look()


def test_messages_come_out_in_the_order_in_which_they_went_in(connection: Connection) -> None:
    send(connection, *range(50))

    assert receive_all(connection) == list(range(50))


def test_a_message_that_was_received_leaves_no_file(connection: Connection, folder: Path) -> None:
    send(connection, "one")

    receive_all(connection)

    assert not [file for file in folder.rglob("*") if file.suffix == ".msg"]


def test_another_process_reads_what_this_one_wrote(connection: Connection, folder: Path) -> None:
    send(connection, {"run": 7})
    reader = (
        "import sys\nfrom tests.embedded.test_filesystem_transport import *\n"
        "print(receive_all(connect(Path(sys.argv[1]))))"
    )

    said = subprocess.run(
        [sys.executable, "-c", reader, str(folder)], capture_output=True, check=True, text=True
    )

    assert said.stdout.strip() == "[{'run': 7}]"


def _write(folder: Path, writer: int, count: int) -> None:
    with connect(folder) as connection:
        send(connection, *[[writer, number] for number in range(count)])


def _read_until_quiet(folder: Path, writers_are_done: object, found: object) -> None:
    with connect(folder) as connection:
        while True:
            done = writers_are_done.is_set()  # type: ignore[attr-defined]
            bodies = receive_all(connection)
            found.put(bodies)  # type: ignore[attr-defined]
            if done and not bodies:
                found.put(None)  # type: ignore[attr-defined]
                return


def test_concurrent_writers_and_readers_lose_nothing_and_double_nothing(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers_are_done, found = context.Event(), context.Queue()
    writers = [context.Process(target=_write, args=(folder, number, 200)) for number in range(3)]
    readers = [
        context.Process(target=_read_until_quiet, args=(folder, writers_are_done, found)) for _ in range(3)
    ]

    for process in (*readers, *writers):
        process.start()
    for writer in writers:
        writer.join()
    writers_are_done.set()
    received, finished = [], 0
    while finished < len(readers):
        bodies = found.get(timeout=60)
        finished += bodies is None
        received += [tuple(body) for body in bodies or []]

    assert sorted(received) == [(writer, number) for writer in range(3) for number in range(200)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        b'{"properties": {}}',
        b'{"properties": {"delivery_tag": "x", "body_encoding": "base64"}, "body": "%%%not base64"}',
    ],
    ids=["empty", "half", "binary", "list", "no properties", "no tag", "bad body"],
)
def test_a_file_that_is_no_message_is_set_aside_and_the_next_one_comes(
    connection: Connection, folder: Path, content: bytes
) -> None:
    send(connection, "before")
    (folder / "messages" / "commands" / "00000000000000000000.1.1.msg").write_bytes(content)
    send(connection, "after")

    assert receive_all(connection) == ["before", "after"]
    assert [file.read_bytes() for file in (folder / "bad").iterdir()] == [content]


def test_a_directory_in_the_place_of_a_message_does_not_stop_the_reader(
    connection: Connection, folder: Path
) -> None:
    send(connection, "good")
    (folder / "messages" / "commands" / "00000000000000000000.1.1.msg").mkdir()

    assert receive_all(connection) == ["good"]


def test_files_of_other_programs_are_left_alone(connection: Connection, folder: Path) -> None:
    send(connection, "good")
    foreign = folder / "messages" / "commands" / ".nfs0001"
    foreign.write_bytes(b"?")

    assert receive_all(connection) == ["good"]
    assert foreign.exists()


def test_only_the_last_unreadable_files_are_kept(connection: Connection, folder: Path) -> None:
    send(connection, "good")
    for number in range(BAD_KEPT + 20):
        (folder / "messages" / "commands" / f"{number:020d}.1.1.msg").write_bytes(b"")

    assert receive_all(connection) == ["good"]
    assert len(list((folder / "bad").iterdir())) == BAD_KEPT


def test_purge_removes_what_waits_and_says_how_much(connection: Connection, folder: Path) -> None:
    send(connection, 1, 2, 3)
    channel = open_channel(connection)

    removed = DOORBELLS(channel).purge()

    assert removed == 3
    assert waiting_files(folder) == []
    assert receive_all(connection) == []


def test_a_purge_between_listing_and_reading_leaves_the_reader_alive(
    connection: Connection, folder: Path
) -> None:
    send(connection, 1, 2, 3)
    reader = open_channel(connection)
    assert take(reader) == 1
    for file in waiting_files(folder):
        file.unlink()

    with pytest.raises(Empty):
        take(reader)


def test_sizes_are_counted_per_queue(connection: Connection) -> None:
    other = Queue("tasks", Exchange("tasks", type="direct"), routing_key="tasks")
    send(connection, 1, 2, 3)
    send(connection, 4, queue=other)
    channel = open_channel(connection)

    assert size(channel, DOORBELLS) == 3
    assert size(channel, other) == 1


def test_a_reader_lists_a_large_directory_once_and_not_at_each_message(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(connection, *range(500))
    listings: list[str] = []
    listing = Folder.waiting

    def count(folder: Folder, queue: str) -> list[str]:
        listings.append(queue)
        return listing(folder, queue)

    monkeypatch.setattr(Folder, "waiting", count)
    channel = open_channel(connection)

    for expected in range(500):
        assert take(channel) == expected

    assert len(listings) == 1


def test_everything_is_readable_by_its_owner_only(connection: Connection, folder: Path) -> None:
    send(connection, "secret")

    for path in (folder, *folder.rglob("*")):
        if path.name != ".lock":
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_bindings_written_at_the_same_moment_are_all_kept(folder: Path) -> None:
    def bind(number: int) -> None:
        with Folder(folder).changing("fan") as rows:
            rows.append(("", "", f"queue-{number}"))  # type: ignore[arg-type]

    Folder(folder).make()
    threads = [threading.Thread(target=bind, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {row.queue for row in Folder(folder).bindings("fan")} == {f"queue-{n}" for n in range(40)}


def test_a_table_is_whole_whenever_it_is_read(folder: Path) -> None:
    Folder(folder).make()
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            with Folder(folder).changing("fan") as rows:
                size = 1 if len(rows) > 100 else len(rows) + 10
                rows[:] = [("", "", f"queue-{number}") for number in range(size)]  # type: ignore[misc]

    writer = threading.Thread(target=rewrite)
    writer.start()
    table = folder / "exchanges" / "fan.json"
    try:
        while not table.exists():
            time.sleep(0.001)
        for _ in range(2000):
            assert len(json.loads(table.read_bytes())) >= 1
    finally:
        stop.set()
        writer.join()


def test_an_unreadable_table_starts_anew_at_the_next_binding(connection: Connection, folder: Path) -> None:
    send(connection, 1)
    (folder / "exchanges" / "commands.json").write_bytes(b'[["comm')

    with connect(folder) as second:
        DOORBELLS(open_channel(second)).declare()
        send(second, 2)

    assert receive_all(connection) == [1, 2]


def test_a_directory_emptied_under_a_running_process_is_made_again(
    connection: Connection, folder: Path
) -> None:
    send(connection, 1)
    assert receive_all(connection) == [1]
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()

    DOORBELLS(open_channel(connection)).declare()
    send(connection, 2)

    assert receive_all(connection) == [2]


def test_a_broadcast_reaches_every_queue_that_is_bound(connection: Connection) -> None:
    fan = Exchange("pidbox", type="fanout")
    queues = [Queue(f"{name}@host.celery.pidbox", fan) for name in ("commands", "tasks")]
    channel = open_channel(connection)
    for queue in queues:
        queue(channel).declare()

    send(connection, "ping", queue=queues[0])

    assert [receive_all(connection, queue) for queue in queues] == [["ping"], ["ping"]]


def test_broadcasts_for_a_worker_that_is_gone_do_not_pile_up(connection: Connection, folder: Path) -> None:
    queue = Queue("gone@host.celery.pidbox", Exchange("pidbox", type="fanout"))
    queue(open_channel(connection)).declare()

    send(connection, *range(BROADCASTS_KEPT + 30), queue=queue)

    assert len(waiting_files(folder, "gone@host.celery.pidbox")) == BROADCASTS_KEPT


def test_answer_queues_that_nobody_declares_any_more_are_unbound(
    connection: Connection, folder: Path
) -> None:
    answers = Exchange("reply.celery.pidbox", type="direct")
    old, new = (Queue(f"{name}.reply.celery.pidbox", answers, routing_key=name) for name in ("old", "new"))
    channel = open_channel(connection)
    old(channel).declare()
    os.utime(folder / "messages" / old.name, (0, 0))

    new(channel).declare()

    assert [row.queue for row in Folder(folder).bindings(answers.name)] == [new.name]


def test_tidying_removes_leftovers_and_keeps_doorbells(connection: Connection, folder: Path) -> None:
    send(connection, "doorbell")
    pidbox = Queue("gone@host.celery.pidbox", Exchange("pidbox", type="fanout"))
    pidbox(open_channel(connection)).declare()
    send(connection, "ping", queue=pidbox)
    for leftover in (folder / "new" / "half", folder / "claimed" / "1.2.3.msg"):
        leftover.write_bytes(b"")
        os.utime(leftover, (0, 0))

    tidy(folder)

    assert receive_all(connection) == ["doorbell"]
    left = [path.name for part in ("new", "claimed", "messages") for path in (folder / part).iterdir()]
    assert left == ["commands"]


def test_tidying_leaves_what_another_process_is_writing_just_now(folder: Path) -> None:
    Folder(folder).make()
    (folder / "new" / "fresh").write_bytes(b"")

    tidy(folder)

    assert (folder / "new" / "fresh").exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", ".", ".hidden", "a/b", "ü", "", "a%2Fb"])
def test_a_queue_name_is_never_a_path(name: str) -> None:
    component = file_name(name)

    assert "/" not in component
    assert component
    assert not component.startswith(".")


def test_different_queue_names_have_different_directories() -> None:
    names = ["a/b", "a%2Fb", ".a", "%2Ea", "", "%", "a b", "a+b"]

    assert len({file_name(name) for name in names}) == len(names)


def test_a_waiting_reader_hears_of_a_message_at_once(connection: Connection, folder: Path) -> None:
    delays: list[float] = []

    def note(sent_at: float, _: object) -> None:
        delays.append(time.monotonic() - sent_at)

    with Consumer(connection, [DOORBELLS], callbacks=[note], no_ack=True), connect(folder) as other:
        sender = threading.Timer(0.2, lambda: send(other, time.monotonic()))
        sender.start()
        connection.drain_events(timeout=60)
        sender.join()

    # Two polls are 0.1 s; the rest is for a busy machine. Without polling it would be the timeout.
    assert delays[0] < 20


def test_waiting_ends_at_its_timeout(connection: Connection) -> None:
    with Consumer(connection, [DOORBELLS], no_ack=True), pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.1)


def test_a_full_or_missing_disk_is_a_channel_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")

    with pytest.raises(ChannelError, match="queue directory cannot be used"):
        connect(blocked / "queue").transport.establish_connection()


def test_an_empty_queue_raises_empty(connection: Connection) -> None:
    channel = open_channel(connection)

    with pytest.raises(Empty):
        channel._get("nothing")
