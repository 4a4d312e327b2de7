"""A photograph through Penstock: up through a signed URL, through two models, and back as two other pictures.

    ./dev demo [FILE]

Starts a server on free ports over a scratch data directory. The pictures go into ./demo-output. On a terminal the
server stays up for your own requests until Ctrl-C; otherwise the demo stops it and ends. It uses the SDK; what it does
can be done with curl as well, and it prints how.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from penstock.client import Penstock, PenstockClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.client import Asset, Event, Run

PHOTOGRAPH = Path(__file__).with_name("chelsea.png")
OUTPUT = Path("demo-output")
PROMPT = "a watercolour in warm colours"
PENSTOCK = (sys.executable, "-P", "-m", "penstock")
READY = "Penstock is ready"
START_SECONDS = 60.0
STOP_SECONDS = 35.0
LOG_LINES = 25


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    photograph = Path(arguments[0]) if arguments else PHOTOGRAPH
    if not photograph.is_file():
        print(f"demo: no such file: {photograph}", file=sys.stderr)
        return 1
    scratch = Path(tempfile.mkdtemp(prefix="penstock-demo-"))
    log = scratch / "server.log"
    console = Console(highlight=False, soft_wrap=True)
    try:
        begun = time.monotonic()
        with server(scratch / "data", log) as (url, objects_url):
            said = f"Penstock answers at {url} (objects at {objects_url})"
            console.print(said, took(time.monotonic() - begun), sep="")
            show(console, photograph, scratch / "data", url)
    except (DemoError, PenstockClientError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        if log.exists():
            print(f"demo: the end of the server's log:\n{tail(log)}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def show(console: Console, photograph: Path, data: Path, url: str) -> None:
    say = console.print
    begun = time.monotonic()
    administer(data, "accounts", "create", "demo", "--credits", "5")
    key = administer(data, "keys", "create", "--account", "demo")
    say("An account with 5 USD and an API key", took(time.monotonic() - begun), sep="")

    OUTPUT.mkdir(exist_ok=True)
    with Penstock(url, key) as penstock:
        asset = upload(console, penstock, photograph)
        cut_out = run(console, penstock, "swook/inspyrenet", image=asset)
        keep(console, penstock, cut_out, OUTPUT / f"{photograph.stem}-cut-out.png")
        painting = run(console, penstock, "builtin/stylize", image=asset, prompt=PROMPT)
        keep(console, penstock, painting, OUTPUT / f"{photograph.stem}-painting.png")
        say(f"The account has {penstock.account().balance_usd} USD left")

    say("\nThe same by curl:\n")
    say(curl_commands(url, key, photograph, asset.content_type), markup=False)
    if sys.stdin.isatty() and sys.stdout.isatty():
        wait_for_interrupt(lambda: say(f"\nThe server stays up: documentation at {url}/v1/docs. Ctrl-C stops it."))
    else:
        say("\nThe server stops now. On a terminal the demo leaves it up.")


def upload(console: Console, penstock: Penstock, photograph: Path) -> Asset:
    begun = time.monotonic()
    columns = (TextColumn("Uploading {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(photograph.name, total=photograph.stat().st_size)
        asset = penstock.upload_file(
            photograph, on_progress=lambda sent, total: progress.update(task, completed=sent, total=total)
        )
    text = f"Uploaded {photograph.name}: {asset.size_bytes:,} bytes of {asset.content_type}, now {asset.id}"
    console.print(text, took(time.monotonic() - begun), sep="", markup=False)
    return asset


def run(console: Console, penstock: Penstock, model: str, **inputs: object) -> Run:
    begun = time.monotonic()
    steps: list[str] = []

    def note(event: Event) -> None:
        steps.append(f"{event.kind.removeprefix('run.')} after {time.monotonic() - begun:.2f} s")

    finished = penstock.run(model, inputs, on_event=note)
    shown = [step for step in steps if not step.startswith(("progress", "log"))]
    text = f"Ran {model} for {finished.cost_usd} USD: {', '.join(shown)}"
    console.print(text, took(time.monotonic() - begun), sep="", markup=False)
    return finished


def keep(console: Console, penstock: Penstock, finished: Run, path: Path) -> None:
    begun = time.monotonic()
    penstock.download(finished.files[0], path)
    text = f"Saved {path}: {path.stat().st_size:,} bytes of {finished.files[0].content_type}"
    console.print(text, took(time.monotonic() - begun), sep="", markup=False)


def took(seconds: float) -> str:
    return f"  ({seconds:.2f} s)"


def curl_commands(url: str, key: str, photograph: Path, content_type: str, result: str = "painting.png") -> str:
    """What the demo did, for any POSIX shell with curl: upload, run a model, save the picture."""
    begin = json.dumps({"filename": photograph.name, "content_type": content_type})
    wanted = shlex.quote(json.dumps({"model": "builtin/stylize", "input": {"prompt": PROMPT, "image": "ASSET"}}))
    wanted = wanted.replace("ASSET", '\'"$(get "$ASSET" id)"\'')
    picture = shlex.quote(str(photograph))
    return "\n".join(
        [
            f"PENSTOCK={shlex.quote(url)} KEY={shlex.quote(key)}",
            'get() { printf %s "$1" | grep -o "\\"$2\\":\\"[^\\"]*\\"" | head -n 1 | cut -d \'"\' -f 4; }',
            'ask() { curl -fsS -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" "$@"; }',
            f'UPLOAD=$(ask "$PENSTOCK/v1/uploads" -d {shlex.quote(begin)})',
            f'curl -fsS -T {picture} -H {shlex.quote(f"Content-Type: {content_type}")} "$(get "$UPLOAD" upload_url)"',
            'ASSET=$(ask -X POST "$PENSTOCK/v1/uploads/$(get "$UPLOAD" id)/complete")',
            f'RUN=$(ask "$PENSTOCK/v1/runs" -d {wanted})',
            'RESULT=$(ask "$PENSTOCK/v1/runs/$(get "$RUN" id)?wait=60")',
            f'curl -fsSL "$(get "$RESULT" url)" -o {shlex.quote(result)}',
        ]
    )


@contextmanager
def server(data: Path, log: Path) -> Iterator[tuple[str, str]]:
    """A server that answers: the addresses of its API and its objects."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*PENSTOCK, "serve", "--data", str(data), "--port", "0", "--store-port", "0", "--dev"],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            process_group=0,  # Ctrl-C is for the demo; it stops the server itself
        )
    try:
        words = ready_line(process).replace(",", "").split()
        yield words[words.index("API") + 1], words[words.index("objects") + 1]
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ready_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    came, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline().decode() if came else ""
    if not line.startswith(READY):
        raise DemoError("the server did not start")
    return line


def administer(data: Path, *command: str) -> str:
    """Run `penstock COMMAND` on the data directory: what it printed."""
    done = subprocess.run(
        [*PENSTOCK, *command, "--data", str(data)], env=clean_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoError(done.stderr.strip() or f"penstock {command[0]} ended with status {done.returncode}")
    return done.stdout.strip()


def clean_environment() -> dict[str, str]:
    """Ours without the settings of another server: the demo's own is complete."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_") and name != "DATABASE_URL"
    }


def wait_for_interrupt(announce: Callable[[], None]) -> None:
    """Announce it, and wait. Ctrl-C is awaited from before the message on, and only noted: none can fall between."""
    asked = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: asked.set())
    announce()
    asked.wait()
    signal.signal(signal.SIGINT, before)
    print()


def tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
