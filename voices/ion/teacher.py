"""The teacher: Debian's flite, called through its shared libraries.

Lives here: one class which speaks a sentence and tells everything flite decided on the way
(words, phones with their end times, stress, pitch). Must not live here: features, files, training.

flite's own C interface is used (`ctypes`) because its command line prints phones and times only;
the words, the stress and the pitch track are what make the pupil's alignment exact.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
SPEAKERS = ("slt", "rms", "awb")


class _Track(ctypes.Structure):
    """`cst_track` of flite/cst_track.h."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("num_frames", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("times", ctypes.POINTER(ctypes.c_float)),
        ("frames", ctypes.POINTER(ctypes.POINTER(ctypes.c_float))),
    )


class _Wave(ctypes.Structure):
    """`cst_wave` of flite/cst_wave.h."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class _Utterance(ctypes.Structure):
    """The head of `cst_utterance` of flite/cst_utterance.h."""

    _fields_ = (("features", ctypes.c_void_p),)


@dataclass(frozen=True, slots=True)
class TeacherPhone:
    """One segment: flite's phone name, its end in seconds, its word's index (-1: a pause), its stress."""

    name: str
    end: float
    word: int
    stress: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """A rendered sentence: samples [n] int16 at 16 kHz, words with what follows them, phones, pitch.

    `pitch` [m] is in hertz every `pitch_shift` seconds; 0 where flite speaks without voice.
    """

    samples: NDArray[np.int16]
    words: tuple[str, ...]
    marks: tuple[str, ...]
    phones: tuple[TeacherPhone, ...]
    pitch: NDArray[np.float32]
    pitch_shift: float


@cache
def _library() -> ctypes.CDLL:
    """Load libflite and declare the functions used."""
    for name in ("libflite.so.1", "libflite_cmulex.so.1", "libflite_usenglish.so.1"):
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    lib = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    signatures = {
        "flite_init": (ctypes.c_int, ()),
        "flite_synth_text": (ctypes.POINTER(_Utterance), (text, pointer)),
        "utt_wave": (ctypes.POINTER(_Wave), (pointer,)),
        "utt_relation": (pointer, (pointer, text)),
        "relation_head": (pointer, (pointer,)),
        "item_next": (pointer, (pointer,)),
        "item_feat_string": (text, (pointer, text)),
        "item_feat_float": (ctypes.c_float, (pointer, text)),
        "flite_ffeature_string": (text, (pointer, text)),
        "flite_path_to_item": (pointer, (pointer, text)),
        "item_equal": (ctypes.c_int, (pointer, pointer)),
        "feat_val": (pointer, (pointer, text)),
        "val_track": (ctypes.POINTER(_Track), (pointer,)),
        "delete_utterance": (None, (pointer,)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, list(arguments)
    lib.flite_init()
    return lib


class Teacher:
    """One voice of flite: `speak` renders a sentence."""

    def __init__(self, speaker: str) -> None:
        if speaker not in SPEAKERS:
            raise ValueError(
                f"flite has no voice {speaker!r} for this recipe; choose one of {', '.join(SPEAKERS)}"
            )
        self._lib = _library()
        register = getattr(ctypes.CDLL(f"libflite_cmu_us_{speaker}.so.1"), f"register_cmu_us_{speaker}")
        register.restype, register.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        self._voice = register(None)

    def speak(self, sentence: str) -> Spoken:
        """Render one sentence."""
        utterance = self._lib.flite_synth_text(sentence.encode("ascii", "ignore"), self._voice)
        try:
            return self._read(utterance)
        finally:
            self._lib.delete_utterance(utterance)

    def _read(self, utterance: object) -> Spoken:
        wave = self._lib.utt_wave(utterance).contents
        if (wave.sample_rate, wave.num_channels) != (SAMPLE_RATE, 1):
            raise ValueError(f"flite spoke at {wave.sample_rate} Hz on {wave.num_channels} channels")
        samples = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).copy()
        words, marks = self._words(utterance)
        pitch, shift = self._pitch(utterance)
        return Spoken(samples, words, marks, self._phones(utterance), pitch, shift)

    def _items(self, utterance: object, relation: bytes) -> list[int]:
        items, item = [], self._lib.relation_head(self._lib.utt_relation(utterance, relation))
        while item:
            items.append(item)
            item = self._lib.item_next(item)
        return items

    def _words(self, utterance: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Words, and the punctuation after each: the token's mark after its last word, else empty."""
        items = self._items(utterance, b"Word")
        names = tuple(self._lib.item_feat_string(item, b"name").decode() for item in items)
        marks = tuple(self._mark(item) for item in items)
        return names, marks

    def _mark(self, word: int) -> str:
        follower = self._lib.flite_path_to_item(word, b"R:Token.n")
        if follower:
            return ""
        mark = self._lib.flite_ffeature_string(word, b"R:Token.parent.punc").decode()
        return "" if mark == "0" else mark

    def _phones(self, utterance: object) -> tuple[TeacherPhone, ...]:
        """Segments in order. A new word begins where the segment's word item differs from the last one's."""
        phones, word, last = [], -1, None
        for item in self._items(utterance, b"Segment"):
            parent = self._lib.flite_path_to_item(item, b"R:SylStructure.parent.parent")
            if parent and not (last and self._lib.item_equal(parent, last)):
                word, last = word + 1, parent
            stress = self._lib.flite_ffeature_string(item, b"R:SylStructure.parent.stress")
            name = self._lib.item_feat_string(item, b"name").decode()
            end = self._lib.item_feat_float(item, b"end")
            phones.append(TeacherPhone(name, end, word if parent else -1, int(stress or 0)))
        return tuple(phones)

    def _pitch(self, utterance: object) -> tuple[NDArray[np.float32], float]:
        """Channel 0 of flite's parameter track: hertz per frame, 0 where there is no voice."""
        features = utterance.contents.features  # type: ignore[attr-defined]
        track = self._lib.val_track(self._lib.feat_val(features, b"param_track")).contents
        values = [track.frames[i][0] for i in range(track.num_frames)]
        shift = float(track.times[1] - track.times[0])
        return np.asarray(values, np.float32), shift
