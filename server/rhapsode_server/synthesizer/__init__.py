"""One utterance end to end, without gRPC: the server, the benchmark and the examples all speak through it.

`synthesizer.py` is the order of things, `checks.py` what is refused, `pieces.py` text to prompts,
`speaking.py` piece after piece through the engine, `packing.py` sound to bytes, `events.py` what is said,
`stages.py` when each stage was.
"""

from rhapsode_server.synthesizer.events import (
    UNRECORDED,
    Audio,
    Done,
    Event,
    PieceRecord,
    Recorder,
    Report,
    SpokenWord,
    Started,
    Terms,
    Timings,
    Usage,
)
from rhapsode_server.synthesizer.stages import Stage, StageTime
from rhapsode_server.synthesizer.synthesizer import Manner, Synthesizer

__all__ = [
    "UNRECORDED",
    "Audio",
    "Done",
    "Event",
    "Manner",
    "PieceRecord",
    "Recorder",
    "Report",
    "SpokenWord",
    "Stage",
    "StageTime",
    "Started",
    "Synthesizer",
    "Terms",
    "Timings",
    "Usage",
]
