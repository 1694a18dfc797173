"""Leaves out of an environment what PyTorch's CUDA build does not need on a processor, and says what.

The build that package indexes offer for Linux is the one with CUDA, and its Python module is linked with
CUDA's libraries: without those it cannot be loaded at all, so they stay. What can go is what is only opened
when a GPU is there: Triton (scripts/image-install), and here every library of NVIDIA's packages that the
loader does not ask for.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LINKED = re.compile(r"=> (/\S+)")
LIBRARY = re.compile(r"\.so(\.\d+)*$")


def needed(torch: Path) -> set[Path]:
    """The libraries that the loader opens for `import torch`, through all that they need."""
    loaded = [*(torch / "lib").glob("libtorch_python.so"), *(torch / "lib").glob("libtorch_global_deps.so")]
    command = ["ldd", *map(str, loaded)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    return {Path(path).resolve() for path in LINKED.findall(told)}


def main() -> int:
    """Remove, and print each removed path with its size in MiB."""
    (packages,) = Path(sys.argv[1]).glob("lib/python3*/site-packages")
    keep = needed(packages / "torch")
    libraries = [file for file in packages.glob("nvidia/**/*.so*") if LIBRARY.search(file.name)]
    gone = [file for file in libraries if file.resolve() not in keep]
    for path in sorted(gone):
        sys.stdout.write(f"{path.stat().st_size >> 20:5} MiB {path.relative_to(packages)}\n")
        path.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
