"""Created voices: bounded in bytes and in number, the least used of whoever has most goes first."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.core import Voice
from rhapsode_server.errors import VoiceNotFound, VoiceTooLarge
from rhapsode_server.voices.catalogue import Voices
from rhapsode_server.voices.created import OVERHEAD, Created, Space, weigh


@dataclass(frozen=True)
class Heavy:
    """Conditioning of that size."""

    nbytes: int


def voice(name: str, size: int = 0, **more: object) -> Voice:
    return Voice(name, "toy", ("en",), 24_000, conditioning=Heavy(size), **more)  # type: ignore[arg-type]


def kept(created: Created, owner: str = "") -> list[str]:
    return sorted(one.name for one in created.of(owner))


def test_a_voice_counts_with_what_its_family_keeps_and_what_is_written_of_it() -> None:
    assert weigh(voice("anna", 5000)) == OVERHEAD + 5000
    assert weigh(voice("anna", description="für")) == OVERHEAD + 4
    assert weigh(Voice("anna", "toy", ("en",), 24_000, conditioning=3)) == OVERHEAD


def test_the_least_recently_used_one_makes_room() -> None:
    created = Created(Space(memory=10**9, voices=3))
    for name in ("anna", "bert", "cara"):
        created.keep("", voice(name))
    assert created.use("", "anna") is not None
    assert created.get("", "bert") is not None  # to look is not to use
    created.keep("", voice("dora"))
    assert kept(created) == ["anna", "cara", "dora"]
    assert (created.hits, created.misses, created.evictions) == (1, 0, 1)
    assert created.use("", "bert") is None
    assert created.misses == 1


def test_a_large_voice_takes_the_room_of_several() -> None:
    created = Created(Space(memory=10 * OVERHEAD, voices=99))
    for name in ("anna", "bert", "cara", "dora"):
        created.keep("", voice(name, OVERHEAD))
    created.keep("", voice("emil", 5 * OVERHEAD))
    assert kept(created) == ["cara", "dora", "emil"]
    assert created.memory == 10 * OVERHEAD


def test_a_voice_larger_than_all_room_changes_nothing() -> None:
    created = Created(Space(memory=4 * OVERHEAD, voices=99))
    created.keep("", voice("anna", OVERHEAD))
    with pytest.raises(VoiceTooLarge, match="voice_memory_bytes"):
        created.keep("", voice("bert", 4 * OVERHEAD))
    assert kept(created) == ["anna"]


def test_whoever_makes_many_pushes_out_his_own() -> None:
    created = Created(Space(memory=20 * OVERHEAD, voices=99))
    created.keep("bob", voice("anna"))
    for number in range(50):
        created.keep("alice", voice(f"v{number}"))
    assert kept(created, "bob") == ["anna"]
    assert len(created) == 20
    created.keep("bob", voice("bert", 15 * OVERHEAD))
    assert kept(created, "bob") == ["anna", "bert"]
    assert len(kept(created, "alice")) == 3


def test_a_voice_made_anew_takes_the_place_of_the_old_one() -> None:
    created = Created(Space())
    created.keep("", voice("anna", 7))
    created.keep("", voice("anna", 9))
    assert (len(created), created.memory, created.evictions) == (1, OVERHEAD + 9, 0)
    assert created.drop("", "anna")
    assert not created.drop("", "anna")
    assert (len(created), created.memory) == (0, 0)


OWNERS, NAMES = st.sampled_from(["", "alice", "bob"]), st.sampled_from("abcdefgh")


@given(
    space=st.builds(Space, st.integers(3 * OVERHEAD, 9 * OVERHEAD), st.integers(1, 6)),
    steps=st.lists(
        st.tuples(st.sampled_from(["keep", "use", "drop"]), OWNERS, NAMES, st.integers(0, 2 * OVERHEAD)),
        max_size=60,
    ),
)
def test_the_bounds_hold_whatever_happens(space: Space, steps: list[tuple[str, str, str, int]]) -> None:
    created = Created(space)
    for what, owner, name, size in steps:
        if what == "keep":
            created.keep(owner, voice(name, size))
            assert created.get(owner, name) is not None, "what was just made is there"
        elif what == "use":
            created.use(owner, name)
        else:
            created.drop(owner, name)
        everyone = [one for whose in ("", "alice", "bob") for one in created.of(whose)]
        assert created.memory == sum(map(weigh, everyone)) <= space.memory
        assert len(created) == len(everyone) <= space.voices


# ---- together with the model's voices


def test_each_caller_has_the_models_voices_and_his_own() -> None:
    voices = Voices({"alto": voice("alto", default=True)}, Created(Space()))
    assert voices.created is not None
    voices.created.keep("alice", voice("anna"))
    assert [one.name for one in voices.speaking(owner="alice")] == ["alto", "anna"]
    assert [one.name for one in voices.speaking(owner="bob")] == ["alto"]
    assert voices.find("anna", "alice").name == "anna"
    assert voices.find("", "alice").name == "alto"
    for owner in ("bob", ""):
        with pytest.raises(VoiceNotFound, match="create it again") as caught:
            voices.find("anna", owner)
        assert caught.value.voices == ("alto",)
    assert (voices.created.hits, voices.created.misses) == (1, 2)
