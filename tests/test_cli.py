"""The command line: options derived from configs, hidden aliases, one clear line and exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = str(Path(__file__).parent / "plugins")


def teacherlm(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "teacherlm.cli", *words], capture_output=True, text=True, cwd=cwd, timeout=120)


def test_help_lists_every_stage_and_command() -> None:
    shown = teacherlm("--help").stdout
    for name in ("prepare", "enhance", "postprocess", "finetune", "evaluate", "report", "run", "status", "list"):
        assert f" {name} " in shown


def test_a_stage_of_a_plugin_folder_is_a_command(tmp_path: Path) -> None:
    done = teacherlm("number", "--plugins", PLUGINS, "--value", "4", "--output", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/number.txt").read_text() == "4"


def test_options_win_over_the_config_file_and_set_over_options(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("value: 1\nseed: 100\n")
    words = ("--plugins", PLUGINS, "-c", str(tmp_path / "c.yaml"), "--value", "2", "--output", str(tmp_path / "out"))
    assert teacherlm("number", *words).returncode == 0
    assert (tmp_path / "out/number.txt").read_text() == "102"
    assert teacherlm("number", *words, "--set", "value=3", "--overwrite").returncode == 0
    assert (tmp_path / "out/number.txt").read_text() == "103"


def test_an_output_with_other_settings_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    words = ("number", "--plugins", PLUGINS, "--output", str(tmp_path / "out"))
    teacherlm(*words, "--value", "1")
    refused = teacherlm(*words, "--value", "2")
    assert refused.returncode == 2
    assert "was made with other settings" in refused.stderr
    assert (tmp_path / "out/number.txt").read_text() == "1"
    assert "already done" in teacherlm(*words, "--value", "1").stderr


def test_a_folder_of_the_users_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("years of work")
    refused = teacherlm("number", "--plugins", PLUGINS, "--value", "1", "--output", str(tmp_path / "out"))
    assert refused.returncode == 2
    assert "is not this tool's" in refused.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_bad_value_names_the_key_and_what_would_be_right(tmp_path: Path) -> None:
    refused = teacherlm("number", "--plugins", PLUGINS, "--value", "many", "--output", str(tmp_path / "out"))
    assert refused.returncode == 2
    assert (
        refused.stderr.strip() == "teacherlm: value: input should be a valid integer, unable to parse string as an integer, found 'many'."
    )


def test_a_changed_plugin_makes_its_output_another(tmp_path: Path) -> None:
    folder = tmp_path / "mine/stages"
    folder.mkdir(parents=True)
    code = Path(PLUGINS, "stages/number.py").read_text()
    words = ("number", "--plugins", str(tmp_path / "mine"), "--value", "1", "--output", str(tmp_path / "out"))
    (folder / "number.py").write_text(code)
    teacherlm(*words)
    assert "already done" in teacherlm(*words).stderr
    (folder / "number.py").write_text(code.replace("config.value + config.seed", "config.value + 100"))
    assert teacherlm(*words).returncode == 2
    assert teacherlm(*words, "--overwrite").returncode == 0
    assert (tmp_path / "out/number.txt").read_text() == "101"


def test_a_refused_attempt_does_not_stand_in_the_way_of_the_next(tmp_path: Path) -> None:
    teacherlm("number", "--plugins", PLUGINS, "--value", "1", "--output", str(tmp_path / "n"))
    words = ("add", "--plugins", PLUGINS, "--input", str(tmp_path / "n"), "--output", str(tmp_path / "out"))
    assert teacherlm(*words, "--amount", "13").returncode == 2
    assert teacherlm(*words, "--amount", "12").returncode == 0
    assert (tmp_path / "out/number.txt").read_text() == "13"


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    teacherlm("number", "--plugins", PLUGINS, "--value", "1", "--output", str(tmp_path / "n"))
    failed = teacherlm("add", "--plugins", PLUGINS, "--input", str(tmp_path / "n"), "--amount", "14", "--output", str(tmp_path / "out"))
    assert failed.returncode == 1
    assert "RuntimeError: a bug" in failed.stderr
    assert "Traceback" in failed.stderr


def test_list_names_what_can_be_chosen() -> None:
    shown = teacherlm("list", "stages").stdout
    assert shown.splitlines()[0].split()[0] == "enhance"
    refused = teacherlm("list", "stagse")
    assert refused.returncode == 2
    assert "Did you mean 'stages'" in refused.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--gradient_checkpointing", "true", "--lr", "constant"], ["--gradient_checkpointing", "--lr", "constant"]),
        (["--gradient_checkpointing=False", "model"], ["model"]),
        (["--group-by-length", "false"], ["--no-group-by-length"]),
        (["--trust-remote-code", "--gradient-checkpointing", "True"], ["--trust-remote-code", "--gradient-checkpointing"]),
        (["--gradient-checkpointing", "--epochs", "2"], ["--gradient-checkpointing", "--epochs", "2"]),
        (["--run_name", "true"], ["--run_name", "true"]),
    ],
)
def test_a_switch_may_be_given_a_word_as_the_originals_did(words: list[str], meant: list[str]) -> None:
    """The original's `type=bool` took the word False for true."""
    from teacherlm.cli import real_command, switched

    assert switched(real_command("stages", "finetune"), words) == meant
