"""Bodies that are too large are refused, said or not, and the token of a large one is found."""

import pytest

from geodl_lab.server import bodies

KEY = "key-of-one"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


def pieces(count, size=1000):
    """A body that does not say how large it is."""

    async def stream():
        for _ in range(count):
            yield b"x" * size

    return stream()


def test_a_body_that_says_it_is_too_large_is_not_read(app, ask):
    server = app(max_form=5000, max_upload=50_000)
    assert ask(server, "/upload", "POST", key=KEY, content=b"x" * 5000).json() == {"bytes": 5000}
    answer = ask(server, "/upload", "POST", key=KEY, content=b"x" * 5001)
    assert answer.status_code == 413
    assert "5000 bytes" in answer.json()["error"]["message"]
    large = ask(server, "/upload", "POST", key=KEY, content=b"x" * 50_000, headers=MULTIPART)
    assert large.json() == {"bytes": 50_000}
    assert ask(
        server, "/upload", "POST", key=KEY, content=b"x" * 50_001, headers=MULTIPART
    ).status_code == 413  # fmt: skip


def test_a_body_that_does_not_say_is_counted(app, ask):
    server = app(max_form=5000)
    assert ask(server, "/upload", "POST", key=KEY, content=pieces(5)).json() == {"bytes": 5000}
    assert ask(server, "/upload", "POST", key=KEY, content=pieces(6)).status_code == 413
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ask(server, "/arcgis/echo", "POST", content=pieces(6), headers=form)
    assert answer.status_code == 413 and answer.json()["error"]["code"] == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "abc"])
def test_a_length_that_is_none_is_refused(app, ask, length):
    headers = {"Content-Length": length}
    assert ask(app(), "/upload", "POST", key=KEY, headers=headers, content=b"").status_code == 413


def test_a_key_has_a_quota(app, ask):
    server = app(upload_quota=3000)
    statuses = [
        ask(server, "/upload", "POST", key=KEY, content=b"x" * 1000).status_code for _ in range(4)
    ]
    assert statuses == [200, 200, 200, 413]
    assert ask(server, "/upload", "POST", key="key-of-another", content=b"x").status_code == 200


def test_an_upload_is_not_kept_to_find_its_token(app, ask, monkeypatch):
    monkeypatch.setattr(bodies, "LOOKED_AT", 1000)
    monkeypatch.setattr(bodies, "READ_ON", 0)
    server, taken = app(), []

    def body(first):
        part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        token, file = part % (b"token", KEY.encode()), part % (b"file", b"y" * 5000)

        async def stream():
            for piece in (token, file) if first else (file, token):
                for start in range(0, len(piece), 100):
                    taken.append(1)
                    yield piece[start : start + 100]
            yield b"--x--\r\n"

        return stream()

    answer = ask(server, "/echo", "POST", content=body(True), headers=MULTIPART)
    assert answer.json()["form"] == {"token": KEY, "file": "y" * 5000}
    taken.clear()
    assert ask(server, "/echo", "POST", content=body(False), headers=MULTIPART).status_code == 401
    assert len(taken) <= 11
