"""ion, the embedded voice: a small acoustic model and a small vocoder whose weights ship inside this package.

Lives here: `load`, which puts the parts together, and the voices' names. Must not live here: anything that
computes.
"""

from __future__ import annotations

from rhapsode_server.core import Voice
from rhapsode_server.layers.projection import pack
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.ion.acoustic import MELS_PER_FRAME, SAMPLE_RATE, IonAcoustic
from rhapsode_server.models.ion.frontend import MOST_TOKENS, IonFrontend
from rhapsode_server.models.ion.network import parameters_of
from rhapsode_server.models.ion.vocoder import IonVocoder
from rhapsode_server.models.ion.weights import read

VOICES = {
    "ion": (0, "American English, a woman's voice"),
    "ion-rms": (1, "American English, a man's voice"),
    "ion-awb": (2, "Scottish-accented English, a man's voice"),
}
"""Name -> speaker number of the acoustic model, description."""


def load(source: str = "ion", *, device: str = "cpu") -> SpeechModel:
    """The embedded voice (`ion`), or one trained by the recipe in voices/ion, in the folder `source`.

    Raises ModelUnusable where the files cannot be used.
    """
    checkpoint = read(source, device)
    voices = {
        name: Voice(name, "ion", ("en",), SAMPLE_RATE, description, name == "ion", speaker)
        for name, (speaker, description) in VOICES.items()
    }
    parameters = parameters_of(checkpoint.acoustic) + parameters_of(checkpoint.vocoder)
    pack(checkpoint.acoustic, leave=("encoder", "prosody"))  # they see one prompt at a time as it is
    pack(checkpoint.vocoder)
    return SpeechModel(
        name="ion",
        family="ion",
        frontend=IonFrontend(MELS_PER_FRAME),
        acoustic=IonAcoustic(checkpoint.acoustic),
        vocoder=IonVocoder(checkpoint.vocoder),
        voices=voices,
        slots=128,
        threads=1,
        positions=MOST_TOKENS,
        details={
            "parameters": f"{parameters:,}",
            "dtype": "float32",
            "device": device,
            "digest": checkpoint.digest,
        },
    )
