"""A damaged state is set aside: the training starts anew and ends with the same bytes."""

import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from crossmod import train
from crossmod.job import Job
from crossmod.train.loop import Curve
from crossmod.train.resume import LAST


def outputs(job: Job) -> tuple[bytes, bytes]:
    return Path(job.outputs["weights"]).read_bytes(), Path(job.outputs["history"]).read_bytes()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """Job → the state it keeps when it is interrupted after six of its steps; also what it ends with undisturbed."""
    kept = {}

    def make(job: Job):
        key = job.settings["stages"]["kidney"]["steps"]
        if key not in kept:
            with pytest.MonkeyPatch.context() as patch:

                def fail(self, trainer, *_):
                    if trainer.global_step == 6:
                        raise RuntimeError("interrupted")

                patch.setattr(Curve, "on_train_batch_start", fail, raising=False)
                with pytest.raises(RuntimeError, match="interrupted"):
                    train.run(job)
            (state,) = Path(job.outputs["resume"]).glob(f"*/{LAST}")
            content, place = state.read_bytes(), state.relative_to(job.outputs["resume"])
            state.unlink()
            train.run(job)
            kept[key] = (content, place, outputs(job))
        return kept[key]

    return make


@pytest.fixture
def damaged(training_job, tmp_path, interrupted):
    """Function (damage) → a job whose state on disk is damaged, the state's path, and what the job must end with."""

    def make(damage):
        content, place, expected = interrupted(training_job(tmp_path / "undisturbed", steps=8))
        job = training_job(tmp_path / "damaged", steps=8)
        path = Path(job.outputs["resume"]) / place
        path.parent.mkdir(parents=True)
        damage(path, content)
        return job, path, expected

    return make


def test_an_undamaged_state_is_resumed_from(damaged, capfd):
    job, path, expected = damaged(lambda path, content: path.write_bytes(content))
    train.run(job)
    assert "resuming from step 6" in capfd.readouterr().err
    assert outputs(job) == expected
    assert not path.exists()


def _bit(path, content):
    """One bit of one weight: torch reads it without a word."""
    path.write_bytes(content)
    with zipfile.ZipFile(path) as parts:
        largest = max((part for part in parts.infolist() if "/data/" in part.filename), key=lambda part: part.file_size)
    changed = bytearray(content)
    changed[largest.header_offset + 600] ^= 0x40
    path.write_bytes(changed)
    torch.load(path, weights_only=True)


def _changed(change):
    def damage(path, content):
        path.write_bytes(content)
        state = torch.load(path, weights_only=True)
        change(state)
        torch.save(state, path)

    return damage


def _other_network(state):
    name = next(iter(state["state_dict"]))
    state["state_dict"][name] = torch.zeros(3)


def _other_optimiser(state):
    first = state["optimizer_states"][0]["state"]
    first[0]["exp_avg"] = torch.zeros(3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, content: path.write_bytes(b""),
        lambda path, content: path.write_bytes(bytes(len(content))),
        lambda path, content: path.write_bytes(content[: len(content) // 2]),
        lambda path, content: path.write_bytes(content[:-1]),
        _bit,
        _changed(_other_network),
        _changed(_other_optimiser),
        _changed(lambda state: state.pop("optimizer_states")),
        _changed(lambda state: state.pop("loops")),
        _changed(lambda state: state["callbacks"].clear()),
        _changed(lambda state: state.update(global_step=99)),
        lambda path, content: path.mkdir(),
    ],
    ids=[
        "empty",
        "zeros",
        "half",
        "tail",
        "bit",
        "network",
        "optimiser",
        "version",
        "loops",
        "curve",
        "step",
        "folder",
    ],
)
def test_a_damaged_state_is_set_aside_and_the_training_starts_anew(damaged, capfd, damage):
    job, path, expected = damaged(damage)
    train.run(job)
    said = capfd.readouterr().err
    assert said.count("cannot be resumed from") == 1 and "resuming from step" not in said
    assert path.with_name(f"{LAST}.damaged").exists()
    assert outputs(job) == expected


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["zip", "pickle"])
def test_a_state_never_runs_code(damaged, tmp_path, capfd, form):
    left = tmp_path / "canary"

    def replace(path, content):
        if form == "zip":
            torch.save({"global_step": 6, "state_dict": Canary(left)}, path)
        else:
            path.write_bytes(pickle.dumps(Canary(left)))

    job, _, expected = damaged(replace)
    train.run(job)
    assert not left.exists()
    assert "the training starts anew" in capfd.readouterr().err
    assert outputs(job) == expected


def test_the_store_has_no_part_in_it(training_job, tmp_path, interrupted):
    """A training without a usable store leaves the same bytes; see also tests/tracking."""
    _, _, expected = interrupted(training_job(tmp_path / "one", steps=8))
    job = training_job(tmp_path / "two", steps=8)
    store = Path(job.inputs["store"]).parent
    shutil.rmtree(store)
    store.write_text("no folder")
    train.run(job)
    assert outputs(job) == expected
