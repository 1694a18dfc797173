"""Stage 6, export: the averaged weights of both trainings -> the files that ship in the server package.

python voices/ion/export.py                     # into the package
python voices/ion/export.py --folder elsewhere  # to be loaded with `model.source = "elsewhere"`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from paths import RUNS
from rhapsode_server.models.ion.generator import Generator, VocoderConfig
from rhapsode_server.models.ion.network import AcousticConfig, AcousticNetwork
from rhapsode_server.models.ion.weights import folder_of, write


def main() -> None:
    """Write both files and the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=folder_of("ion"))
    parser.add_argument("--vocoder", default="vocoder", help="name of the vocoder's run")
    given = parser.parse_args()
    acoustic, vocoder = AcousticNetwork(AcousticConfig()), Generator(VocoderConfig())
    for network, name in ((acoustic, "acoustic"), (vocoder, given.vocoder)):
        saved = torch.load(RUNS / f"{name}.ckpt", weights_only=True)
        network.load_state_dict(saved["average"])
        print(f"{name}: step {saved['step']}")
    write(given.folder, acoustic, vocoder)
    print(f"written to {given.folder}")


if __name__ == "__main__":
    main()
