"""Files that would act in a browser, or fool a decoder, if their declaration were believed. None is media."""

from __future__ import annotations

HOSTILE = {
    "a page": b"<!doctype html><script>alert(1)</script>",
    "a page behind much white space": b"\n" * 9000 + b"<script>alert(1)</script>",
    "a page in UTF-16": "<html><script>alert(1)</script>".encode("utf-16"),
    "a page that begins as a film": b"<p >ftypisom" + bytes(300),
    "a page with bytes of no text": b"<html>\x00\x01<script>alert(1)</script>",
    "a drawing with a script": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "a drawing behind a long comment": b"<?xml version='1.0'?><!--" + b" " * 20_000 + b"--><svg onload='alert(1)'/>",
    "a drawing in UTF-16": "<svg onload='alert(1)'/>".encode("utf-16"),
    "a style sheet": b"<?xml version='1.0'?><?xml-stylesheet href='evil.xsl'?><a/>",
    "a document": b"%PDF-1.7\n1 0 obj <</OpenAction <</JS (alert)>>>>",
    "a document behind rubbish": b"\x00\x01\x02" * 100 + b"%PDF-1.4\n",
    "a program": b"alert(document.domain)",
    "a playlist": b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n",
    "an archive": b"PK\x03\x04" + bytes(60),
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix",
}
