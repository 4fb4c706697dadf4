"""Upload forms as they stream in: cut anywhere, bounded, one file."""

import asyncio

import pytest

from objstore.api.forms import FIELDS_BYTES_MAX, REST_BYTES_MAX, read_form
from objstore.s3.errors import IncompleteBody, S3Error

BOUNDARY = "xYzZy"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
LINE_BREAK = "\r\n"


class Body:
    """A body in pieces of `cut` bytes; `error` comes where it would end."""

    length = None
    trailers: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, data: bytes, cut: int = 1 << 20, error: Exception | None = None) -> None:
        self.data, self.cut, self.error = data, cut, error
        self.read_bytes = 0

    async def __aiter__(self):
        for start in range(0, len(self.data), self.cut):
            piece = self.data[start : start + self.cut]
            self.read_bytes += len(piece)
            yield piece
        if self.error is not None:
            raise self.error

    async def read(self, limit: int) -> bytes:
        raise NotImplementedError


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def form(*parts: bytes, end: bytes = b"--\r\n") -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}".encode() + end


def read(body: Body, content_type: str = TYPE):
    """Fields, filename and bytes of a form."""

    async def run():
        found = await read_form(content_type, body)
        return dict(found.fields), found.filename, await found.file.read(0)

    return asyncio.run(run())


FILE = part("file", bytes(range(256)) * 20 + b"\r\n--xYzZ\r", "a b.bin")
USUAL = form(part("key", b"k"), part("Content-Type", "tëxt".encode()), FILE)


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 50, 1000, 1 << 20])
@pytest.mark.parametrize("end", [b"--\r\n", b"--", b"--\r\nepilogue", b"\r\nContent-Disposition: x\r\n"])
def test_a_form_may_be_cut_anywhere(cut, end):
    body = form(part("key", b"k"), part("Content-Type", "tëxt".encode()), FILE, end=end)
    fields, filename, data = read(Body(body, cut))
    assert fields == {"key": "k", "content-type": "tëxt"}
    assert filename == "a b.bin"
    assert data == bytes(range(256)) * 20 + b"\r\n--xYzZ\r"


def test_what_follows_the_file_is_ignored_and_read_to_the_end():
    body = Body(form(part("key", b"k"), part("file", b"data"), part("key", b"other"), part("file", b"2")), 5)
    assert read(body) == ({"key": "k"}, None, b"data")
    assert body.read_bytes == len(body.data)


def test_an_empty_file_is_a_file():
    assert read(Body(form(part("key", b"k"), part("file", b"")), 4))[2] == b""


def test_the_file_is_not_read_before_it_is_asked_for():
    async def run():
        body = Body(form(part("key", b"k"), part("file", b"x" * 10_000)), 100)
        await read_form(TYPE, body)
        return body.read_bytes

    assert asyncio.run(run()) < 500


BAD_TYPES = [
    ("", "PreconditionFailed"),
    ("text/plain", "PreconditionFailed"),
    ("multipart/form-data", "MalformedPOSTRequest"),
    ("multipart/form-data; boundary=", "MalformedPOSTRequest"),
    ("multipart/mixed; boundary=x", "PreconditionFailed"),
    (f"multipart/form-data; boundary={'x' * 500}", "MalformedPOSTRequest"),
    ("application/x-www-form-urlencoded", "PreconditionFailed"),
]


@pytest.mark.parametrize(("content_type", "code"), BAD_TYPES)
def test_what_is_no_form(content_type, code):
    with pytest.raises(S3Error) as caught:
        read(Body(USUAL), content_type)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "InvalidArgument"),
        (b"junk", "InvalidArgument"),
        (form(part("key", b"k")), "InvalidArgument"),
        (form(part("key", b"k"), part("KEY", b"l"), FILE), "InvalidArgument"),
        (form(part("key", b"\xff"), FILE), "InvalidArgument"),
        (form(part("", b"k"), FILE), "MalformedPOSTRequest"),
        (form(part("key", b"x" * FIELDS_BYTES_MAX), FILE), "MaxPostPreDataLengthExceededError"),
        (form(*(part(f"x{n}", b"") for n in range(500)), FILE), "MalformedPOSTRequest"),
        (form(part("x" * 5000, b""), FILE), "MalformedPOSTRequest"),
        (USUAL[:-9], "MalformedPOSTRequest"),
        (USUAL[:-200], "MalformedPOSTRequest"),
        (form(part("key", b"k"), FILE, part("rest", b"x" * 2 * REST_BYTES_MAX)), "MalformedPOSTRequest"),
        (USUAL.replace(b"\r\n", b"\n"), "MalformedPOSTRequest"),
    ],
)
@pytest.mark.parametrize("cut", [13, 1000])
def test_forms_that_are_refused(body, code, cut):
    with pytest.raises(S3Error) as caught:
        read(Body(body, cut))
    assert caught.value.code == code


def test_what_goes_wrong_with_the_body_is_told():
    with pytest.raises(IncompleteBody):
        read(Body(USUAL, error=IncompleteBody()))


def test_checks_of_the_size_end_the_reading():
    seen = []

    async def run(limit):
        found = await read_form(TYPE, Body(form(part("file", b"x" * 1000)), 100))

        def check_so_far(size):
            seen.append(size)
            if size > limit:
                raise ValueError(size)

        found.file.check_so_far = check_so_far
        found.file.check_all = lambda size: seen.append(f"all {size}")
        return await found.file.read(0)

    assert len(asyncio.run(run(1000))) == 1000
    assert seen[-1] == "all 1000"
    seen.clear()
    with pytest.raises(ValueError):
        asyncio.run(run(300))
    assert max(seen) < 500
