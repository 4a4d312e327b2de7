"""A real browser: a page of another origin sends forms and files to the store, and reads what it may."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.clients.drivers.boto import Boto
from tests.clients.stored import Stored
from tests.support.stores import embedded_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket

PNG = "image/png"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
HTML = "<!doctype html><meta charset=utf-8><title>%s</title>%s"
SEND = """
async ([url, bytes, type]) => {
  const body = new Uint8Array(bytes);
  const answer = await fetch(url, { method: "PUT", body, headers: type ? { "content-type": type } : {} });
  return { status: answer.status, etag: answer.headers.get("ETag") };
}
"""
SEND_PART = """
async ([url, byte, count]) => {
  const answer = await fetch(url, { method: "PUT", body: new Uint8Array(count).fill(byte) });
  return { status: answer.status, etag: answer.headers.get("ETag") };
}
"""
READ = """
async ([url, range]) => {
  const answer = await fetch(url, { headers: range ? { range } : {} });
  const bytes = Array.from(new Uint8Array(await answer.arrayBuffer()));
  return { status: answer.status, bytes, etag: answer.headers.get("ETag"), part: answer.headers.get("Content-Range") };
}
"""


class Site:
    """Pages by path, on a web server of their own, for the browser to come from."""

    def __init__(self, server: http.server.ThreadingHTTPServer) -> None:
        self.port = server.server_port
        self.texts: dict[str, str] = {
            "/": HTML % ("A page", "<h1>A page</h1>"),
            "/done": HTML % ("Done", "<h1>Done</h1>"),
        }

    def origin(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}"


@contextmanager
def served_site() -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = site.texts.get(urlsplit(self.path).path)
            self.send_response(404 if text is None else 200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Site(server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    with served_site() as served:
        yield served


@pytest.fixture(scope="module")
def place(pages: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A store that the pages' origin may call, and no other."""
    with embedded_store(tmp_path_factory.mktemp("store"), "--cors-origin", pages.origin()) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def stored(place: Bucket) -> Stored:
    return Stored(place)


@pytest.fixture(scope="module")
def boto(place: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boto]:
    client = Boto(place, tmp_path_factory.mktemp("boto"))
    yield client
    client.close()


def open_page(tab: Any, pages: Site, path: str = "/", *, host: str = "127.0.0.1") -> None:  # noqa: ANN401 - as above
    """Open one of our pages, as coming from `host`."""
    tab.goto(pages.origin(host) + path)


def test_a_plain_form_of_another_origin_sends_a_file_and_comes_back(
    tab: Any,  # noqa: ANN401 - as above
    pages: Site,
    boto: Boto,
    stored: Stored,
    tmp_path: Path,
) -> None:
    picture = tmp_path / "ein Bild ü.png"
    picture.write_bytes(PICTURE)
    done = pages.origin() + "/done"
    form = boto.form("form/${filename}", content_type=PNG, most=1_000_000, redirect=done)
    fields = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in form["fields"].items())
    fields += '<input type="file" name="file"><button>Send</button>'
    sending = f'<form action="{form["url"]}" method="post" enctype="multipart/form-data">{fields}</form>'
    pages.texts["/form"] = HTML % ("Send a file", f"<h1>Send a file</h1>{sending}")
    open_page(tab, pages, "/form")
    tab.set_input_files("input[type=file]", str(picture))

    with tab.expect_navigation(url=f"{done}*"):
        tab.click("button")

    told = parse_qs(urlsplit(tab.url).query)
    assert tab.title() == "Done"
    assert told["key"] == ["form/ein Bild ü.png"]
    assert told["etag"] == [stored.head("form/ein Bild ü.png").headers["etag"]]
    assert stored.read("form/ein Bild ü.png") == PICTURE


def test_a_script_of_an_allowed_origin_sends_a_file_and_reads_its_etag(
    tab: Any,  # noqa: ANN401 - as above
    pages: Site,
    boto: Boto,
    stored: Stored,
) -> None:
    open_page(tab, pages)

    put = tab.evaluate(SEND, [boto.presign("PUT", "fetch/a b"), list(PICTURE), PNG])
    got = tab.evaluate(READ, [boto.presign("GET", "fetch/a b"), "bytes=1-3"])

    assert put == {"status": 200, "etag": stored.head("fetch/a b").headers["etag"]}
    assert bytes(got["bytes"]) == b"PNG"
    assert (got["status"], got["etag"], got["part"]) == (206, put["etag"], f"bytes 1-3/{len(PICTURE)}")
    assert stored.head("fetch/a b").headers["content-type"] == PNG


def test_a_script_sends_a_file_in_parts_and_reads_the_etag_of_each(
    tab: Any,  # noqa: ANN401 - as above
    pages: Site,
    boto: Boto,
    place: Bucket,
    stored: Stored,
) -> None:
    named = {"Bucket": place.name, "Key": "fetch/parts"}
    upload = boto.s3.create_multipart_upload(**named, ContentType=PNG)["UploadId"]
    sizes = [5_242_880, 10]
    urls = [
        boto.s3.generate_presigned_url("upload_part", Params={**named, "UploadId": upload, "PartNumber": number})
        for number in (1, 2)
    ]
    open_page(tab, pages)

    answers = [
        tab.evaluate(SEND_PART, [url, number, size])
        for number, (url, size) in enumerate(zip(urls, sizes, strict=True), 1)
    ]
    parts = [{"PartNumber": number, "ETag": answer["etag"]} for number, answer in enumerate(answers, 1)]
    boto.s3.complete_multipart_upload(**named, UploadId=upload, MultipartUpload={"Parts": parts})

    assert stored.read("fetch/parts") == b"\x01" * sizes[0] + b"\x02" * sizes[1]


def test_a_script_of_another_origin_sends_nothing_and_reads_nothing(
    tab: Any,  # noqa: ANN401 - as above
    pages: Site,
    boto: Boto,
    stored: Stored,
) -> None:
    stored.fill(["fetch/secret"])
    open_page(tab, pages, host="localhost")

    for script, url in ((SEND, boto.presign("PUT", "fetch/none")), (READ, boto.presign("GET", "fetch/secret"))):
        failed = tab.evaluate(
            f"async (given) => {{ try {{ await ({script})(given) }} catch (e) {{ return e.name }} }}", [url, [1]]
        )
        assert failed == "TypeError"
    assert stored.head("fetch/none").status == 404


def test_a_page_that_was_uploaded_is_saved_and_not_shown(
    tab: Any,  # noqa: ANN401 - as above
    boto: Boto,
    place: Bucket,
) -> None:
    page = b"<script>document.title = 'it ran'</script>"
    boto.s3.put_object(Bucket=place.name, Key="page.html", Body=page, ContentType="text/html")

    with tab.expect_download() as saved:
        tab.evaluate("url => { location.href = url }", boto.presign("GET", "page.html"))

    assert saved.value.path().read_bytes() == page
    assert tab.title() == ""
