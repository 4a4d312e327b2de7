"""The parent's side: answers, refusals, and what happens when a child misbehaves or must end."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import venv
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest
from PIL import Image

from penstock.adapters.runners.builtin import BuiltinRunner, Limits
from penstock.domain.errors import RunnerFailed
from penstock.ports.jobs import AttemptInterruptedError
from penstock.ports.runners import OutputFile, RunCancelledError
from penstock.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.adapters.runners.workbench import Workbench

QUIET = Log("test", None)


def run(runner: BuiltinRunner, model: str, bench: Workbench, inputs: Mapping[str, object]) -> OutputFile:
    output = runner.run(model, inputs, bench)
    assert isinstance(output, dict)
    ((kind, file),) = output.items()
    assert isinstance(file, OutputFile)
    assert file.content_type.startswith(f"{kind}/")
    return file


def child_of_this_process() -> int:
    """The running child; the progress callback is called while there is exactly one."""
    thread = Path("/proc/thread-self").resolve()
    pids = [int(pid) for pid in (thread / "children").read_text().split()]
    (child,) = [pid for pid in pids if b"runners.builtin" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return child


def script(folder: Path, text: str) -> str:
    path = folder / "child.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_removing_the_background_gives_a_png_of_the_same_size_with_transparency(
    runner: BuiltinRunner, bench: Workbench, coffee: Path
) -> None:
    file = run(runner, "remove-background", bench, {"image": bench.file(coffee)})

    with Image.open(file.path) as image:
        assert (file.name, file.content_type, image.format) == ("cutout.png", "image/png", "PNG")
        assert (image.size, image.mode) == ((600, 400), "RGBA")
        assert image.getchannel("A").getextrema() == (0, 255)
    assert bench.workdir in file.path.parents


@pytest.mark.parametrize(("asked", "found"), [("png", "PNG"), ("jpeg", "JPEG"), ("jpg", "JPEG"), ("webp", "WEBP")])
def test_stylising_writes_the_format_asked_for(
    runner: BuiltinRunner, bench: Workbench, cat: Path, asked: str, found: str
) -> None:
    inputs = {"image": bench.file(cat), "prompt": "a cartoon", "output_format": asked}

    file = run(runner, "stylize", bench, inputs)

    with Image.open(file.path) as image:
        assert (image.format, image.size) == (found, (451, 300))
        assert file.content_type == Image.MIME[found]


def test_replacing_the_background_keeps_the_subject_and_changes_the_rest(
    runner: BuiltinRunner, bench: Workbench, coffee: Path
) -> None:
    inputs = {"image": bench.file(coffee), "prompt": "white studio", "output_format": "png"}

    file = run(runner, "replace-background", bench, inputs)

    with Image.open(file.path) as image, Image.open(coffee) as source:
        assert (file.name, image.mode, image.size) == ("new-background.png", "RGB", source.size)
        assert image.getpixel((285, 150)) == source.convert("RGB").getpixel((285, 150))
        corner = image.getpixel((595, 5))
        assert isinstance(corner, tuple)
        assert min(corner) > 200
    assert bench.logs == [("info", "background: a studio; drawn by rules, not generative AI")]


def test_a_picture_can_be_the_new_background(runner: BuiltinRunner, bench: Workbench, coffee: Path, cat: Path) -> None:
    inputs = {"image": bench.file(coffee), "background": bench.file(cat), "output_format": "jpeg"}

    file = run(runner, "replace-background", bench, inputs)

    with Image.open(file.path) as image:
        assert (file.name, image.format, image.size) == ("new-background.jpg", "JPEG", (600, 400))
    assert bench.logs == []


def test_upscaling_multiplies_the_size(runner: BuiltinRunner, bench: Workbench, cat: Path) -> None:
    file = run(runner, "upscale", bench, {"image": bench.file(cat), "scale_factor": 2})

    with Image.open(file.path) as image:
        assert (file.name, image.mode, image.size) == ("enlarged.png", "RGB", (902, 600))


@pytest.mark.parametrize(("factor", "message"), [(3, "one of 2, 4, 8, 16"), (16, "the result would be 9600 × 6400")])
def test_what_cannot_be_upscaled_is_refused_in_words(
    runner: BuiltinRunner, bench: Workbench, coffee: Path, factor: int, message: str
) -> None:
    with pytest.raises(RunnerFailed, match=message):
        runner.run("upscale", {"image": bench.file(coffee), "scale_factor": factor}, bench)


@pytest.mark.parametrize(
    ("asked", "content_type"), [({}, "video/mp4"), ({"output_format": "webm"}, "video/webm")], ids=["mp4", "webm"]
)
def test_a_picture_becomes_a_film_of_the_size_and_length_asked_for(
    runner: BuiltinRunner, bench: Workbench, cat: Path, asked: dict[str, str], content_type: str
) -> None:
    inputs = {"image": bench.file(cat), "prompt": "pan right", "ratio": "480:480", "duration": 2, **asked}

    file = run(runner, "image-to-video", bench, inputs)

    with av.open(str(file.path)) as film:
        pictures = list(film.decode(video=0))
    assert (file.content_type, len(pictures), pictures[0].width, pictures[0].height) == (content_type, 48, 480, 480)
    assert bench.logs == [("info", "camera: pan-right")]
    assert len(bench.fractions) > 10


def test_a_film_of_a_prompt_alone_is_called_a_demo_painting(runner: BuiltinRunner, bench: Workbench) -> None:
    inputs = {"prompt": "a forest in autumn", "ratio": "640:360", "duration": 2}

    file = run(runner, "image-to-video", bench, inputs)

    assert file.path.stat().st_size > 10_000
    assert "demo painting" in bench.logs[0][1]
    assert bench.logs[1] == ("info", "camera: push-in, the default, as the prompt names no camera move")


def test_a_film_of_nothing_is_refused(runner: BuiltinRunner, bench: Workbench) -> None:
    with pytest.raises(RunnerFailed, match="image: a picture is needed, or a prompt"):
        runner.run("image-to-video", {}, bench)


def test_a_film_is_repainted_in_the_style_of_the_prompt(
    runner: BuiltinRunner, bench: Workbench, tmp_path: Path, cat: Path
) -> None:
    film = run(runner, "image-to-video", bench, {"image": bench.file(cat), "ratio": "480:480", "duration": 2})
    source = film.path.rename(tmp_path / "film.mp4")
    bench.logs.clear()

    file = run(runner, "video-to-video", bench, {"video": bench.file(source), "prompt": "a mosaic"})

    with av.open(str(file.path)) as repainted:
        assert len(list(repainted.decode(video=0))) == 48
    assert (file.name, bench.logs) == ("mosaic.mp4", [("info", "painting in mosaic")])


def test_films_are_enlarged_and_their_motion_is_taken(
    runner: BuiltinRunner, bench: Workbench, tmp_path: Path, cat: Path, coffee: Path
) -> None:
    asked = {"image": bench.file(cat), "prompt": "pan left", "ratio": "480:480", "duration": 2}
    source = bench.file(run(runner, "image-to-video", bench, asked).path.rename(tmp_path / "film.mp4"))
    sizes = []

    for model, inputs in (
        ("upscale-video", {"video": source, "resolution": "1k"}),
        ("motion-transfer", {"character": bench.file(coffee), "reference": source, "ratio": "640:360"}),
        ("motion-transfer", {"character": source, "reference": source, "ratio": "360:640"}),
    ):
        with av.open(str(run(runner, model, bench, inputs).path)) as film:
            pictures = list(film.decode(video=0))
            sizes.append((len(pictures), pictures[0].width, pictures[0].height))

    assert sizes == [(48, 1024, 1024), (48, 640, 360), (48, 360, 640)]


def test_a_picture_is_no_film(runner: BuiltinRunner, bench: Workbench, cat: Path) -> None:
    with pytest.raises(RunnerFailed, match="not a film that can be read"):
        runner.run("video-to-video", {"video": bench.file(cat)}, bench)


def test_the_log_names_the_style_and_progress_only_rises(runner: BuiltinRunner, bench: Workbench, cat: Path) -> None:
    run(runner, "stylize", bench, {"image": bench.file(cat), "prompt": "Pencil sketch, please"})

    assert bench.logs == [("info", "painting in pencil")]
    assert bench.fractions == sorted(bench.fractions)
    assert len(bench.fractions) > 1


def test_a_prompt_alone_gives_a_picture_that_the_log_calls_a_demo_painting(
    runner: BuiltinRunner, bench: Workbench
) -> None:
    file = run(runner, "stylize", bench, {"prompt": "a mountain lake at sunset", "aspect_ratio": "16:9"})

    with Image.open(file.path) as image:
        width, height = image.size
        assert width / height == pytest.approx(16 / 9, rel=0.02)
    assert "demo painting" in bench.logs[0][1]
    assert "not generative AI" in bench.logs[0][1]


def test_a_picture_without_one_subject_is_answered_with_a_warning(
    runner: BuiltinRunner, bench: Workbench, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.png"
    Image.new("RGB", (200, 120), (90, 120, 60)).save(plain)

    run(runner, "remove-background", bench, {"image": bench.file(plain)})

    assert [level for level, _ in bench.logs] == ["warning"]


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (3000, 1)])
@pytest.mark.parametrize("model", ["remove-background", "stylize"])
def test_pictures_of_odd_shapes_keep_their_size(
    runner: BuiltinRunner, bench: Workbench, tmp_path: Path, model: str, size: tuple[int, int]
) -> None:
    odd = tmp_path / "odd.png"
    Image.new("RGB", size, (200, 30, 30)).save(odd)

    file = run(runner, model, bench, {"image": bench.file(odd), "prompt": "oil"})

    with Image.open(file.path) as image:
        assert image.size == size


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a picture"),
        (b"just some words, no picture at all", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n", "not a picture"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>', "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "not a picture"),
    ],
    ids=["empty", "text", "eps", "svg", "png signature alone"],
)
def test_what_is_no_picture_is_refused_in_words_for_the_caller(
    runner: BuiltinRunner, bench: Workbench, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "input.png"
    path.write_bytes(content)

    with pytest.raises(RunnerFailed, match=message) as failure:
        runner.run("remove-background", {"image": bench.file(path)}, bench)

    assert str(tmp_path) not in failure.value.message


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_picture_is_refused_as_damaged(
    runner: BuiltinRunner, bench: Workbench, tmp_path: Path, cat: Path, kept: float
) -> None:
    whole = cat.read_bytes()
    path = tmp_path / "cut.png"
    path.write_bytes(whole[: int(len(whole) * kept)])

    with pytest.raises(RunnerFailed, match="damaged or incomplete"):
        runner.run("remove-background", {"image": bench.file(path)}, bench)


def test_a_decompression_bomb_is_refused_by_its_header(runner: BuiltinRunner, bench: Workbench, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (12_000, 12_000)).save(bomb)
    assert bomb.stat().st_size < 100_000

    with pytest.raises(RunnerFailed, match="more than 50 million pixels"):
        runner.run("remove-background", {"image": bench.file(bomb)}, bench)


def test_a_picture_with_a_side_beyond_the_limit_is_refused(
    runner: BuiltinRunner, bench: Workbench, tmp_path: Path
) -> None:
    ribbon = tmp_path / "ribbon.png"
    Image.new("1", (20_000, 3)).save(ribbon)

    with pytest.raises(RunnerFailed, match="at most 16383"):
        runner.run("stylize", {"image": bench.file(ribbon), "prompt": "oil"}, bench)


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        ("remove-background", {}, "image: a picture is needed"),
        ("remove-background", {"image": "not a file"}, "image: a file is needed"),
        ("stylize", {}, "prompt: a text is needed"),
        ("stylize", {"prompt": " "}, "prompt: a text is needed"),
        ("stylize", {"prompt": "x", "style": "fresco"}, "style: one of oil, "),
        ("stylize", {"prompt": "x", "output_format": "tiff"}, "output_format: one of png, "),
        ("stylize", {"prompt": "x", "seed": "7"}, "seed: a whole number is needed"),
        ("stylize", {"prompt": "x", "strength": "much"}, "strength: a number is needed"),
        ("upscale", {}, "image: a picture is needed"),
        ("image-to-video", {"prompt": "x", "camera": "dance"}, "camera: one of static, "),
        ("image-to-video", {"prompt": "x", "ratio": "wide"}, "ratio: two numbers are needed"),
        ("teleport", {}, "there is no builtin model named teleport"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    runner: BuiltinRunner, bench: Workbench, model: str, inputs: Mapping[str, object], message: str
) -> None:
    with pytest.raises(RunnerFailed, match=re.escape(message)):
        runner.run(model, inputs, bench)


def test_a_hanging_child_is_ended_at_the_deadline(bench: Workbench, cat: Path) -> None:
    runner = BuiltinRunner(QUIET, limits=Limits(wall_seconds=2))
    bench.on_progress = lambda: os.kill(child_of_this_process(), signal.SIGSTOP)

    with pytest.raises(RunnerFailed, match="took longer than 2 s"):
        runner.run("remove-background", {"image": bench.file(cat)}, bench)


def test_cancelling_ends_the_child_even_when_it_hangs(runner: BuiltinRunner, bench: Workbench, cat: Path) -> None:
    def stop_and_cancel() -> None:
        os.kill(child_of_this_process(), signal.SIGSTOP)
        bench.is_cancelled = True

    bench.on_progress = stop_and_cancel

    with pytest.raises(RunCancelledError):
        runner.run("remove-background", {"image": bench.file(cat)}, bench)


def test_a_run_cancelled_before_it_began_starts_nothing(runner: BuiltinRunner, bench: Workbench, cat: Path) -> None:
    bench.is_cancelled = True

    with pytest.raises(RunCancelledError):
        runner.run("remove-background", {"image": bench.file(cat)}, bench)

    assert list(bench.workdir.iterdir()) == []


def test_an_error_of_the_context_ends_the_child_and_comes_through(
    runner: BuiltinRunner, bench: Workbench, cat: Path
) -> None:
    def fail() -> None:
        msg = "the database went away"
        raise ConnectionError(msg)

    bench.on_progress = fail

    with pytest.raises(ConnectionError, match="went away"):
        runner.run("remove-background", {"image": bench.file(cat)}, bench)


@pytest.mark.parametrize(
    ("sent", "message"), [(signal.SIGKILL, "memory was short"), (signal.SIGSEGV, "without an answer")]
)
def test_a_child_that_dies_fails_the_run_and_the_next_run_works(
    runner: BuiltinRunner, bench: Workbench, cat: Path, sent: signal.Signals, message: str
) -> None:
    bench.on_progress = lambda: os.kill(child_of_this_process(), sent)

    with pytest.raises(RunnerFailed, match=message) as failure:
        runner.run("remove-background", {"image": bench.file(cat)}, bench)

    assert f"exit code {-sent}" in str(failure.value.__cause__)
    bench.on_progress = lambda: None
    assert run(runner, "remove-background", bench, {"image": bench.file(cat)}).path.exists()


def test_a_child_that_is_stopped_together_with_the_server_is_no_failure_of_its_model(
    runner: BuiltinRunner, bench: Workbench, cat: Path
) -> None:
    bench.on_progress = lambda: os.kill(child_of_this_process(), signal.SIGTERM)

    with pytest.raises(AttemptInterruptedError):
        runner.run("remove-background", {"image": bench.file(cat)}, bench)


def test_a_picture_that_needs_too_much_memory_fails_the_run(bench: Workbench, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.new("RGB", (7000, 7000), (120, 60, 30)).save(large, compress_level=1)
    runner = BuiltinRunner(QUIET, limits=Limits(memory_bytes=500 << 20))

    with pytest.raises(RunnerFailed, match="more memory than a run may use"):
        runner.run("remove-background", {"image": bench.file(large)}, bench)


def test_a_run_that_computes_too_long_is_ended_by_the_kernel(bench: Workbench, tmp_path: Path, coffee: Path) -> None:
    large = tmp_path / "large.jpg"
    with Image.open(coffee) as image:
        image.convert("RGB").resize((8000, 6000)).save(large)
    runner = BuiltinRunner(QUIET, limits=Limits(cpu_seconds=1))

    with pytest.raises(RunnerFailed, match="more computing time"):
        runner.run("stylize", {"image": bench.file(large), "prompt": "oil"}, bench)


def test_a_result_beyond_the_file_limit_fails_the_run(bench: Workbench, coffee: Path) -> None:
    runner = BuiltinRunner(QUIET, limits=Limits(file_bytes=50_000))

    with pytest.raises(RunnerFailed, match="larger than a run's files may be"):
        runner.run("stylize", {"image": bench.file(coffee), "prompt": "oil"}, bench)


def test_a_server_without_the_extra_says_what_to_install(bench: Workbench, tmp_path: Path, cat: Path) -> None:
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False, symlinks=True)
    (site,) = bare.glob("lib/python*/site-packages")
    source = Path(__file__).parents[4] / "src"
    (site / "penstock.pth").write_text(f"{source}\n")
    runner = BuiltinRunner(QUIET, python=str(bare / "bin" / "python"))

    with pytest.raises(RunnerFailed, match=re.escape("pip install 'penstock[demo]'")):
        runner.run("remove-background", {"image": bench.file(cat)}, bench)


def test_the_child_gets_none_of_the_servers_environment(
    runner: BuiltinRunner, bench: Workbench, cat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    seen: list[bytes] = []

    def look() -> None:
        if not seen:  # at the last word of progress the child may be gone already
            seen.append(Path(f"/proc/{child_of_this_process()}/environ").read_bytes())

    bench.on_progress = look

    run(runner, "remove-background", bench, {"image": bench.file(cat)})

    names = {entry.partition(b"=")[0].decode() for entry in seen[0].split(b"\0") if entry}
    assert names == {
        "LANG",
        "MALLOC_ARENA_MAX",
        "OPENBLAS_NUM_THREADS",
        "OPENCV_FFMPEG_CAPTURE_OPTIONS",
        "OPENCV_OPENCL_RUNTIME",
        "TMPDIR",
    }


def test_the_confinement_in_force_is_reported_once(bench: Workbench, cat: Path) -> None:
    stream = StringIO()
    runner = BuiltinRunner(Log("worker", stream))

    for _ in range(2):
        run(runner, "remove-background", bench, {"image": bench.file(cat)})

    (line,) = stream.getvalue().splitlines()
    assert '"event": "runner.isolation"' in line
    assert "AS CPU FSIZE NOFILE CORE" in line


def test_the_child_dies_with_its_parent(tmp_path: Path, cat: Path) -> None:
    workdir = tmp_path / "work"
    workdir.mkdir()
    program = textwrap.dedent("""
        import os, signal, sys, threading
        from pathlib import Path
        from penstock.adapters.runners.builtin import BuiltinRunner
        from penstock.telemetry import Log
        from tests.adapters.runners.builtin.test_runner import child_of_this_process
        from tests.adapters.runners.workbench import Workbench

        def stop_it_and_say_who() -> None:
            child = child_of_this_process()
            os.kill(child, signal.SIGSTOP)
            print(child, flush=True)
            threading.Event().wait()

        bench = Workbench(Path(sys.argv[1]))
        bench.on_progress = stop_it_and_say_who
        BuiltinRunner(Log("test", None)).run("remove-background", {"image": bench.file(Path(sys.argv[2]))}, bench)
    """)
    command = [sys.executable, "-c", program, str(workdir), str(cat)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[4]) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())

        handle = os.pidfd_open(child)
        try:
            parent.kill()
            ended, _, _ = select.select([handle], [], [], 20)
        finally:
            os.close(handle)
    assert ended, "the child outlived its parent"


@pytest.mark.parametrize(
    "lie",
    [
        "echo no json",
        """echo '["event"]'""",
        """echo '{"event": "done"}'""",
        """echo '{"event": "done", "title": "cutout", "extension": "png"}'""",
        """echo x > result; echo '{"event": "done", "title": "../../x", "extension": "png"}'""",
        """echo x > result; echo '{"event": "done", "title": "cutout", "extension": "html"}'""",
        """ln -s /etc/hostname result; echo '{"event": "done", "title": "cutout", "extension": "png"}'""",
        "head -c 1000000 /dev/zero",
    ],
    ids=["no json", "no object", "no result", "absent result", "bad title", "bad type", "link", "endless line"],
)
def test_a_child_under_foreign_control_cannot_pass_anything_off_as_a_result(
    bench: Workbench, tmp_path: Path, lie: str
) -> None:
    runner = BuiltinRunner(QUIET, python=script(tmp_path, lie))

    with pytest.raises(RunnerFailed, match="without an answer"):
        runner.run("stylize", {"prompt": "oil"}, bench)


def test_words_of_the_child_are_cut_to_size_and_to_printable_characters(bench: Workbench, tmp_path: Path) -> None:
    message = "\\u001b[2J" + "a" * 5000
    runner = BuiltinRunner(QUIET, python=script(tmp_path, f"""echo '{{"event": "failed", "message": "{message}"}}'"""))

    with pytest.raises(RunnerFailed) as failure:
        runner.run("stylize", {"prompt": "oil"}, bench)

    assert failure.value.message == "[2J" + "a" * 496


def test_the_parent_imports_no_image_library() -> None:
    program = """
import sys
import penstock.adapters.runners.builtin
print([name for name in ("cv2", "numpy", "PIL") if name in sys.modules])
"""
    command = [sys.executable, "-c", program]

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
