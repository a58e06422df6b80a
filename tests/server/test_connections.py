"""Connections of who asks nothing are closed, those of who waits for an answer are not."""

import asyncio
import socket
import statistics
import time

import pytest
import uvicorn

from geodl_lab.server import connections

PATIENCE = 0.2
LENGTH = [(b"content-length", b"4")]
ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def slow_app(scope, receive, send):
    await asyncio.sleep(4 * PATIENCE)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def _told(sent):
    """Return what a server answers to some bytes, until it closes the connection."""
    config = uvicorn.Config(slow_app, http=connections.Connection, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        task = asyncio.create_task(server._serve([sock]))
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        writer.write(sent)
        told = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        server.should_exit = True
        await task
    return told


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
def test_who_asks_nothing_is_let_go(sent, monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE", PATIENCE)
    assert asyncio.run(_told(sent)) == b""


def test_who_waits_for_an_answer_gets_it_and_then_must_ask_again(monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE", PATIENCE)
    told = asyncio.run(_told(ASK + b"GET / HT"))
    assert told.startswith(b"HTTP/1.1 204")
    assert told.count(b"HTTP/1.1") == 1


def test_an_answer_does_not_wait_for_the_client_to_acknowledge_its_headers():
    async def two_parts(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": LENGTH})
        await send({"type": "http.response.body", "body": b"well"})

    async def seconds():
        config = uvicorn.Config(
            two_parts, http=connections.Connection, lifespan="off", log_config=None
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            task = asyncio.create_task(server._serve([sock]))
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            taken = []
            for _ in range(30):
                begun = time.perf_counter()
                writer.write(ASK)
                await asyncio.wait_for(reader.readuntil(b"well"), 20)
                taken.append(time.perf_counter() - begun)
            writer.close()
            server.should_exit = True
            await task
        return taken

    assert statistics.median(asyncio.run(seconds())) < 0.03  # else 0.04
