"""The report as its readers get it: JSON, Markdown, files, a terminal."""

import errno
import json
import os
import re
import signal
from collections import Counter
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from support.checkpoints import write_random
from support.commands import as_code, imports, refused, run
from support.terminals import on_a_terminal

from olmo_explain.checkpoint import head_norms
from olmo_explain.report import ALL_CLAIMS, SECTIONS, remeasure
from olmo_explain.report.remeasuring import cell
from olmo_explain.terminal.output import Document

KEYS = {"id", "section", "statement", "claimed", "measured", "verdict", "how"}

measured = cache(remeasure)
"""A preset's report, made once for all tests that only read it."""


NOTHING = mock.Mock(**{"to_dict.return_value": {}, "to_markdown.return_value": "nothing"})
"""A report that took no time to measure."""


def too_late():
    """Where measuring would come too early."""
    wrong = AssertionError("too late")
    return mock.patch("olmo_explain.report.remeasuring.remeasure", side_effect=wrong)


# -- JSON and Markdown ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["tiny", "olmo3-7b", "olmo3-32b"])
def test_json_lists_every_claim(model):
    ran = run("report", model, "--json")
    report = json.loads(ran.stdout)
    assert ran.stderr == "" and report["ok"] and report["problems"] == report["skipped"] == []
    assert [claim["id"] for claim in report["claims"]] == [claim.id for claim in ALL_CLAIMS]
    assert all(claim.keys() >= KEYS for claim in report["claims"])
    assert report["verdicts"] == Counter(claim["verdict"] for claim in report["claims"])
    assert report["measured_on"] == {"sizes": "olmo3-7b", "numbers": "tiny"}
    assert list(report["sections"]) == [
        "configuration", "access", "forward", "flops", "facts", "scripts"
    ]  # fmt: skip


def test_the_sections_are_the_model_s_own():
    tiny, large = (measured(name).sections for name in ("tiny", "olmo3-32b"))
    assert tiny["configuration"]["parameters"] == 2_109_568
    assert tiny["forward"]["prompt"] == "Hello world" and tiny["forward"]["seconds"] > 0
    assert np.array_equal(
        np.float32(tiny["configuration"]["norms"]["heads"]["q_proj"]), head_norms("tiny")["q_proj"]
    )
    assert tiny["access"]["all"]["values"] == tiny["access"]["all"]["equal"] > 200
    assert large["forward"]["counts"]["Linear"] == 449 and large["forward"]["seconds"] is None
    assert large["configuration"]["norms"]["skipped"] == "olmo3-32b comes without weights"
    assert large["configuration"]["head"]["slices"]["k_proj"]["slice"] == "[640:768, :]"
    assert large["facts"]["head_dim"] == "128 = 5120 / 40 heads"
    assert large["facts"]["intermediate_size"] == "27648 = 1024 × 27"
    [way] = tiny["forward"]["sequence"]["ways"]
    assert way["layers"] == list(range(8)) and way["steps"][1] == {"step": 4, "name": "q_norm"}
    macs = {o["name"]: o["macs"] for o in large["flops"]["operations"]}
    assert macs["q_proj"] == 64 * 5120 * 5120 and macs["k_proj"] == 64 * 5120 * 1024


@pytest.mark.parametrize("model", ["tiny", "olmo3-7b", "olmo3-32b"])
def test_the_document_holds_every_claim_and_its_tables_are_whole(model):
    document = measured(model).to_markdown()
    headings = re.findall(r"^## (.+)$", document, re.M)
    assert headings == list(SECTIONS[1:])
    for claim in ALL_CLAIMS:
        assert f"| {cell(claim.statement)} | {cell(claim.claimed)} |" in document, claim.id
    tables = re.findall(r"(?:^\|.*\|\n)+", document, re.M)
    assert len(tables) > 15
    for table in tables:
        rows = [re.split(r"(?<!\\)\|", line) for line in table.splitlines()]
        assert len({len(row) for row in rows}) == 1, table
        assert set("".join(rows[1])) == {"-"}, table
    assert not re.search(r"\n{4,}|None|\{\{|undefined", document)
    for line in document.splitlines():
        assert not line.startswith("|") or line.endswith("|"), line
    before = [document[: match.start()] for match in re.finditer(r"^\|.*\n\|-", document, re.M)]
    assert all(text.endswith("\n\n") for text in before)  # or it would not be a table


def test_the_scripts_have_successors_that_are_commands():
    document = measured("tiny").to_markdown()
    for script in ("torch_internals_probe", "torch_weight_reader_probe", "olmo_forward_trace"):
        [row] = re.findall(rf"^\| {script}\.py .*$", document, re.M)[:1]
        commands = re.findall(r"`olmo-explain (\w+)", row)
        assert commands
        for command in commands:
            assert "Usage" in run(command, "--help").stdout


# -- files ----------------------------------------------------------------------------------------


def test_written_whole_as_markdown_and_as_json(tmp_path):
    for ending in ("md", "json"):
        path = tmp_path / f"\x1b[31mreport.{ending}"
        ran = run("report", "tiny", "--output", str(path))
        shown = rf"{tmp_path}/\x1b[31mreport.{ending}"
        assert ran.stderr == f"Written to {shown}\n" and "109" not in ran.stderr
        path.rename(tmp_path / f"report.{ending}")
    said = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert said.startswith("# How PyTorch reads the weights of tiny")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["model"] == "tiny"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("report.txt", "has no ending that says what to write. End it in .md or .json."),
        ("not/there.md", "There is no directory"),
        ("", "is a directory. Name a file."),
        ("n" * 297 + ".md", "cannot be written (File name too long)"),
    ],
)
def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path, name, says):
    path = tmp_path / name if name else tmp_path / "folder.md"
    if not name:
        path.mkdir()
    with too_late():
        assert says in refused("report", "tiny", "--output", path)


def test_a_name_of_no_letters_is_no_directory():
    assert "--output names no file. Name one that " in refused("report", "tiny", "--output", "")


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "circle.md").symlink_to("circle.md")
    (tmp_path / "device.md").symlink_to("/dev/null")
    with too_late():
        for name, says in {
            "pipe": "a pipe or a device",
            "device": "a pipe",
            "circle": "a link",
        }.items():
            assert says in refused("report", "tiny", "--output", tmp_path / f"{name}.md")
    assert (tmp_path / "pipe.md").is_fifo()


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path):
    (tmp_path / "link.json").symlink_to("real.json")
    (tmp_path / "real.json").touch(mode=0o600)
    with mock.patch("olmo_explain.report.remeasure", return_value=NOTHING):
        run("report", "tiny", "--json", "--output", tmp_path / "link.json")
    assert (tmp_path / "link.json").readlink() == Path("real.json")
    assert json.loads((tmp_path / "real.json").read_text()) == {}
    assert (tmp_path / "real.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_is_written_waits(tmp_path, number):
    """It is there, whole, and then the signal does what it does."""
    path, came = tmp_path / "a.md", []
    document, write_text = Document(path, (".md",)), Path.write_text

    def interrupted(self: Path, text: str, **options) -> None:
        signal.raise_signal(number)
        write_text(self, text, **options)

    before = signal.signal(number, lambda *_: came.append(path.exists() and path.read_text()))
    try:
        with mock.patch.object(Path, "write_text", interrupted):
            document.write("whole")
    finally:
        signal.signal(number, before)
    assert came == ["whole"] and list(tmp_path.iterdir()) == [path]


def test_a_directory_that_one_may_not_write_to(tmp_path):
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with (
        mock.patch.object(Path, "write_text", side_effect=denied),  # root may write everywhere
        too_late(),
    ):
        said = refused("report", "tiny", "--output", tmp_path / "a.md")
    assert f"{tmp_path}/a.md cannot be written (Permission denied)" in said


def test_a_file_that_may_not_be_changed(tmp_path):
    (tmp_path / "a.md").write_text("the old one")
    with mock.patch("os.access", return_value=False), too_late():
        said = refused("report", "tiny", "--output", tmp_path / "a.md")
    assert "a.md is there and may not be changed" in said


def test_a_full_disk_leaves_the_old_report_and_nothing_half_written(tmp_path):
    path = tmp_path / "report.md"
    path.write_text("the old one")

    def fills_up(self: Path, text: str, **options) -> None:
        with self.open("w") as file:
            file.write(text[:100])
        if text:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        mock.patch.object(Path, "write_text", fills_up),
        mock.patch("olmo_explain.report.remeasure", return_value=NOTHING),
    ):
        said = refused("report", "tiny", "--output", path)
    assert "cannot be written (No space left on device)" in said
    assert [p.name for p in tmp_path.iterdir()] == [
        "report.md"
    ] and path.read_text() == "the old one"


# -- a terminal -----------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_shows_claims_corrections_and_counts(columns):
    shown = run("report", "olmo3-7b", columns=columns).stdout
    assert all(section in shown for section in SECTIONS)
    assert "corrected calls.total: 389, not 388." in shown
    assert re.search(r"\n +\d+ reproduced\n +\d+ corrected\n +\d+ recorded\n", shown)
    assert max(map(len, shown.splitlines())) <= columns


def test_a_terminal_is_told_what_takes_so_long_and_stdout_is_json(tmp_path):
    write_random(tmp_path)
    with on_a_terminal(as_code("report", str(tmp_path), "--json")) as (process, shown):
        assert json.loads(process.stdout.read())["model"] == str(tmp_path)
    assert process.returncode == 0
    assert b"Loading PyTorch and transformers" in shown  # takes more than a second


def test_a_wrong_name_does_not_wait_for_torch():
    assert not {"torch", "transformers"} & imports(as_code("report", "olmo3-8b", code=2))
    assert "No model named 'olmo3-8b'" in refused("report", "olmo3-8b")
