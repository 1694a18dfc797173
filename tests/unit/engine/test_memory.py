"""Rows for which there is no memory: told in a sentence, before the system ends the process without one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rhapsode_server.engine import memory
from rhapsode_server.engine.runner import Runner
from rhapsode_server.errors import ConfigError
from rhapsode_server.models import toy
from rhapsode_server.models.base import State
from torch import nn


class Counting(toy.ToyAcoustic):
    """Keeps how many rows were asked for; `error` is raised where there are more than one."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.error = error

    def new_state(self, slots: int) -> State:
        self.asked.append(slots)
        if self.error is not None and slots > 1:
            raise self.error
        return super().new_state(slots)


def test_what_does_not_fit_is_told_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy.load()
    one = memory.size(model.acoustic.new_state(1)) + memory.size(model.vocoder.new_state(1))
    monkeypatch.setattr(memory, "available", lambda: 10 * one + 1)
    acoustic = Counting()
    with pytest.raises(
        ConfigError, match=r"There is no memory for 4096 utterances at a time of .*'toy'"
    ) as told:
        Runner(replace(model, acoustic=acoustic), 4096)
    assert "Set engine.slots to 10 or fewer, or give the server more memory." in told.value.message
    assert acoustic.asked == [1]
    assert Runner(replace(model, acoustic=acoustic), 10).model.acoustic is acoustic


def test_one_row_alone_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 8)
    with pytest.raises(ConfigError, match="Choose a smaller model, or give the server more memory"):
        Runner(toy.load(), 2)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
        MemoryError(),
    ],
)
def test_memory_that_is_refused_is_the_same_sentence(error: Exception) -> None:
    with pytest.raises(ConfigError, match=r"Set engine\.slots to fewer, or give") as told:
        Runner(replace(toy.load(), acoustic=Counting(error)), 8)
    assert "8 utterances at a time" in told.value.message


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        Runner(replace(toy.load(), acoustic=Counting(RuntimeError("shapes do not fit"))), 8)


@dataclass(slots=True)
class Part:
    """Something in a state."""

    rows: torch.Tensor
    more: list[Any] = field(default_factory=list)


class Whole:
    """A state that has parts, refers to itself and to what it has not got to itself."""

    def __init__(self) -> None:
        self.part = Part(torch.zeros(2, 3), [torch.zeros(5, dtype=torch.int64), {"a": torch.zeros(7)}])
        self.again = self.part
        self.me = self
        self.layer = nn.Linear(100, 100)
        self.kind = Part
        self.elsewhere = torch.zeros(1000, device="meta")
        self.counts = (1, None, "text", b"bytes", 2.0, torch.float32, torch.device("cpu"))


def test_the_tensors_of_a_state_are_counted_once_wherever_they_are() -> None:
    assert memory.size(Whole()) == 4 * 6 + 8 * 5 + 4 * 7


@pytest.mark.parametrize("slots", [1, 3])
def test_the_rows_of_the_families_are_seen(slots: int) -> None:
    model = toy.load()
    state = model.acoustic.new_state(slots)
    assert memory.size(state) == slots * memory.size(model.acoustic.new_state(1)) > 0


def machine(root: Path, meminfo: str, limit: str = "", stat: str = "") -> Path:
    """A root with what the kernel says."""
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text(meminfo)
    if limit:
        (root / "sys/fs/cgroup").mkdir(parents=True)
        (root / "sys/fs/cgroup/memory.max").write_text(limit)
        (root / "sys/fs/cgroup/memory.stat").write_text(stat)
    return root


MEMINFO = (
    "MemTotal:       24684092 kB\nMemFree:        100 kB\nMemAvailable:   2048 kB\nHugePages_Total:       0\n"
)


@pytest.mark.parametrize(
    ("limit", "stat", "free"),
    [
        ("", "", 2048 * 1024),
        ("max\n", "anon 5\n", 2048 * 1024),
        ("1000000\n", "anon 400000\nfile 500000\n", 600_000),
        ("1000000\n", "anon 1200000\n", 0),
        ("900000000000\n", "anon 5\n", 2048 * 1024),
    ],
)
def test_what_is_free_is_the_machines_and_its_containers(
    tmp_path: Path, limit: str, stat: str, free: int
) -> None:
    assert memory.available(machine(tmp_path, MEMINFO, limit, stat)) == free


def test_a_system_that_does_not_say_is_asked_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.available(tmp_path) is None
    assert memory.available(machine(tmp_path, "MemTotal: 5 kB\n")) is None
    monkeypatch.setattr(memory, "available", lambda: None)
    acoustic = Counting()
    Runner(replace(toy.load(), acoustic=acoustic), 8)
    assert acoustic.asked == [8]
