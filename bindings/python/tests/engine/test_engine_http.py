"""`syncdb.http`: real sockets, retries, interrupts, cancellation, stopping."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import urllib.request
from typing import Any

import pytest
from syncdb.engine import ClosedError, ConflictError, Field, Lineage, Schema, Step, SyncDb, SyncServer, TransportError
from syncdb.http import Cancel, Client, Server

NOTES = Schema("notes", {"id": int, "text": str}, key="id")


def test_replicas_sync_over_a_socket() -> None:
    """And the report, the progress and the status say what happened."""
    cloud = SyncServer([NOTES])
    phone, laptop = SyncDb("phone", tables=[NOTES]), SyncDb("laptop")
    phone.insert_many("notes", ({"id": at, "text": f"note {at}"} for at in range(3000)))
    steps: list[tuple[int, int]] = []
    with Server(cloud) as server:
        assert server.is_running
        report = Client(phone, server.url).sync(
            progress=lambda done, total: steps.append((done, total)), budget={"mutations_max": 1}
        )
        assert (report.converged, report.rows_sent, report.rows_received) == (True, 3000, 0)
        received = Client(laptop, server.url).sync()
        assert (received.rows_received, received.digest_local) == (3000, report.digest_server)
        with urllib.request.urlopen(f"{server.url}/v1/status") as answer:
            assert json.load(answer)["rows"] == cloud.status()["rows"] == 3000
    assert laptop.query("notes") == phone.query("notes") == cloud.query("notes")
    assert steps[-1] == (3000, 3000)
    assert all(done <= total for done, total in steps)
    assert steps == sorted(steps)


def test_stopping_is_quick_and_frees_the_port() -> None:
    """Also while connections are open; what was edited meanwhile stays, and a later start is on the same port."""
    server = Server(SyncServer([NOTES]))
    with pytest.raises(ClosedError, match="no port"):
        _ = server.url
    server.start()
    port = server.port
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    server.stop()
    server.stop()
    assert not server.is_running
    phone = SyncDb("phone", tables=[NOTES])
    phone.insert("notes", {"id": 1, "text": "x"})
    client = Client(phone, server.url, retries=0)
    with pytest.raises(TransportError) as raised:
        client.sync()
    assert isinstance(raised.value, OSError)
    assert phone.pending == 1
    with server, pytest.raises(TransportError, match="cannot listen"):
        assert server.port == port
        assert client.sync().rows_sent == 1
        Server(SyncServer([NOTES]), port=port).start()
    for one in idle:
        one.close()


def test_a_server_that_comes_back_is_found_by_a_retry() -> None:
    """In the same session."""
    server = Server(SyncServer([NOTES]))
    server.start()
    server.stop()
    phone = SyncDb("phone", tables=[NOTES])
    phone.insert("notes", {"id": 1, "text": "x"})
    later = threading.Timer(0.2, server.start)
    later.start()
    try:
        assert Client(phone, server.url, retries=20, backoff_seconds=0.02).sync().converged
    finally:
        later.join()
        server.stop()


@pytest.fixture
def silent() -> Any:
    """The URL of somebody who listens and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def test_ctrl_c_ends_a_sync_that_waits(silent: str) -> None:
    """With `KeyboardInterrupt`, and soon."""
    phone = SyncDb("phone", tables=[NOTES])
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        Client(phone, silent).sync()
    with Server(SyncServer([NOTES])) as server:
        assert Client(phone, server.url).sync().converged


def test_a_timeout_ends_an_exchange(silent: str) -> None:
    """With an error that names the address."""
    with pytest.raises(TransportError, match=r"127\.0\.0\.1"):
        Client(SyncDb("phone"), silent, retries=1, backoff_seconds=0.0, timeout_seconds=0.1).sync()


def test_a_program_of_coroutines_syncs_and_cancels(silent: str) -> None:
    """Without holding up its loop."""
    cloud = SyncServer([NOTES])
    cloud.insert("notes", {"id": 1, "text": "x"})

    async def main(url: str) -> None:
        clients = [Client(SyncDb(f"replica {at}"), url) for at in range(4)]
        reports = await asyncio.gather(*(client.sync_async() for client in clients))
        assert [report.rows_received for report in reports] == [1] * 4
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(Client(SyncDb("late"), silent).sync_async(), 0.1)

    with Server(cloud) as server:
        asyncio.run(main(server.url))


def test_a_sync_that_waits_is_cancelled_by_another_thread(silent: str) -> None:
    """Long before its timeout."""
    cancel = Cancel()
    threading.Timer(0.1, cancel.cancel).start()
    with pytest.raises(ClosedError, match="was cancelled"):
        Client(SyncDb("phone"), silent).sync(cancel=cancel)


def test_functions_of_python_are_called_from_the_server_s_threads() -> None:
    """While another thread of Python writes and waits for the same locks."""
    policies = {"notes": {"columns": {"text": {"custom": "join"}}}}
    cloud = SyncServer(
        [NOTES], policies=policies, merge_functions={"join": lambda met: "+".join(sorted([met.server, met.client]))}
    )
    cloud.insert("notes", {"id": 1, "text": ""})
    seen: list[Any] = []
    stop = threading.Event()

    def busy() -> None:
        at = 100
        while not stop.is_set():
            cloud.insert("notes", {"id": at, "text": "busy"})
            at += 1

    writer = threading.Thread(target=busy)
    with Server(cloud) as server, cloud.watch(lambda changes: seen.extend(changes or [])):
        phone, laptop = SyncDb("phone"), SyncDb("laptop")
        clients = [Client(phone, server.url), Client(laptop, server.url)]
        for client in clients:
            client.sync()
        writer.start()
        phone.update("notes", 1, {"text": "a"})
        laptop.update("notes", 1, {"text": "b"})
        for client in clients:
            client.sync()
        stop.set()
        writer.join()
    assert cloud.get("notes", 1) == {"id": 1, "text": "a+b"}
    assert {"update", "insert"} <= {change.kind for change in seen}


def test_a_deployment_reaches_clients_that_stay_old() -> None:
    """The server is stopped, its tables get other versions, and goes on at the same port."""
    first = Lineage([NOTES])
    second = first.then(
        Step.rename_column("notes", "text", "title"), Step.add_column("notes", "stars", Field(int, default=0))
    )
    cloud = SyncServer(lineage=first)
    old = SyncDb("old", lineage=first)
    old.insert("notes", {"id": 1, "text": "hello"})
    server = Server(cloud)
    with server:
        Client(old, server.url).sync()
        with pytest.raises(ConflictError, match="in use"):
            cloud.deploy(second)
    cloud.deploy(second)
    with server:
        new = SyncDb("new", lineage=second)
        Client(new, server.url).sync()
        assert new.get("notes", 1) == {"id": 1, "title": "hello", "stars": 0}
        new.update("notes", 1, {"title": "bye", "stars": 5})
        Client(new, server.url).sync()
        Client(old, server.url).sync()
    assert old.get("notes", 1) == {"id": 1, "text": "bye"}


def test_a_url_that_is_none_is_refused() -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match="http://"):
        Client(SyncDb("phone"), "ftp://example.org")
    with pytest.raises(ValueError, match="timeout_seconds"):
        Client(SyncDb("phone"), "http://example.org", timeout_seconds=-1.0)


def test_a_live_replica_hears_what_others_write() -> None:
    """And sends what is written here, without being told to; the end of the loop ends its thread."""
    cloud = SyncServer([NOTES])
    phone, laptop = SyncDb("phone", tables=[NOTES]), SyncDb("laptop", tables=[NOTES])

    async def follow(url: str) -> list[tuple[str, Any]]:
        heard: list[tuple[str, Any]] = []
        synced = asyncio.Event()
        loop = asyncio.get_running_loop()
        changes = Client(phone, url).live("notes", synced=lambda _: loop.call_soon_threadsafe(synced.set))
        waiting = asyncio.ensure_future(changes.__anext__())
        await synced.wait()
        laptop.insert("notes", {"id": 1, "text": "by the laptop"})
        await Client(laptop, url).sync_async()
        change = await waiting
        assert change is not None
        heard.append((change.kind, change.key))
        phone.insert("notes", {"id": 2, "text": "by the phone"})
        while cloud.get("notes", 2) is None:
            await asyncio.sleep(0.01)
        await changes.aclose()
        return heard

    with Server(cloud) as server:
        assert asyncio.run(follow(server.url)) == [("insert", 1)]
    assert phone.get("notes", 1) == {"id": 1, "text": "by the laptop"}
    assert not [one for one in threading.enumerate() if one.name.startswith("syncdb-live")]


def test_a_live_replica_goes_on_offline_and_ends_when_it_is_cancelled() -> None:
    """What it is told of is told to the program."""
    server = Server(SyncServer([NOTES]))
    server.start()
    server.stop()
    phone = SyncDb("phone", tables=[NOTES])
    phone.insert("notes", {"id": 1, "text": "x"})
    cancel = Cancel()
    offline: list[tuple[str, float]] = []

    def lost(why: str, seconds: float) -> None:
        offline.append((why, seconds))
        if len(offline) == 1:
            server.start()

    client = Client(phone, server.url, backoff_seconds=0.02)

    def synced(report: Any) -> None:
        if report.rows_sent:
            cancel.cancel()

    client.keep_in_sync(offline=lost, synced=synced, cancel=cancel)
    server.stop()
    assert phone.pending == 0
    assert "/v1/live" in offline[0][0]
    with pytest.raises(ZeroDivisionError):
        client.keep_in_sync(offline=lambda _, __: 1 / 0)


def test_tokens_and_authorities_are_checked_and_kept_secret() -> None:
    """A token that fits no header is refused without being quoted."""
    phone = SyncDb("phone", tables=[NOTES])
    with pytest.raises(ValueError, match="token or API key") as raised:
        Client(phone, "http://127.0.0.1:1", token="se cret")
    assert "se cret" not in str(raised.value)
    assert "secret" not in repr(Client(phone, "http://127.0.0.1:1", token="secret"))
    with pytest.raises(ValueError, match="PEM"):
        Client(phone, "https://127.0.0.1:1", authorities=b"nothing")
