"""Generate the Python code of the wire contract from protos/.

    python scripts/generate_protos.py            write client/python/rhapsode/tts/v1/*_pb2*
    python scripts/generate_protos.py --check    change nothing; exit 1 where the files in git differ
    python scripts/generate_protos.py --setup    the same, after putting the compiler into build/protoc

What must not live here: other languages' code (each client folder has its own recipe).

The compiler is pinned because its version decides what loads the result: grpcio-tools 1.76.0 writes
code for protobuf 6.31.1 and grpcio 1.76, and a runtime must not be older than the code it loads. Both
are below what pyproject.toml asks for, and protobuf promises that 6.x code also loads under 7.x.
grpcio-tools wants protobuf below 7, hence an environment of its own. Exit code 3: no compiler.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = ROOT / "client" / "python"
PACKAGE = Path("rhapsode", "tts", "v1")
COMPILER_HOME = ROOT / "build" / "protoc"
PIN = "1.76.0"
PINNED = ROOT / "constraints" / "protoc.txt"
NO_COMPILER = 3


def has_compiler(python: Path) -> bool:
    """Whether this Python can run the compiler of exactly the pinned version."""
    if not python.exists():
        return False
    ask = "import importlib.metadata as m; print(m.version('grpcio-tools'))"
    answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)  # noqa: S603
    return answer.stdout.strip() == PIN


def find_compiler() -> Path | None:
    """A Python that has the compiler: this one, or the one in build/protoc."""
    homes = (Path(sys.executable), COMPILER_HOME / "bin" / "python")
    return next((python for python in homes if has_compiler(python)), None)


def set_up() -> None:
    """Install the pinned compiler into build/protoc, unless there is one already."""
    if find_compiler() is None:
        venv.create(COMPILER_HOME, with_pip=True)
        pip = [str(COMPILER_HOME / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--require-hashes", "-r", str(PINNED)], check=True)  # noqa: S603


def generate(python: Path, out: Path) -> None:
    """Write the modules for every file of the package below `out`."""
    sources = sorted(str(path) for path in (PROTOS / PACKAGE).glob("*.proto"))
    targets = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    command = [str(python), "-W", "ignore", "-m", "grpc_tools.protoc", f"-I{PROTOS}", *targets, *sources]
    subprocess.run(command, check=True)  # noqa: S603
    for stub in out.joinpath(PACKAGE).glob("*_pb2_grpc.py"):
        if not stub.name.endswith("service_pb2_grpc.py"):
            stub.unlink()  # Files without a service give an empty module: one more name for nothing.


def contents(folder: Path) -> dict[str, bytes]:
    """Generated files of `folder` by name."""
    return {path.name: path.read_bytes() for path in folder.joinpath(PACKAGE).glob("*_pb2*.py*")}


def differences(python: Path) -> list[str]:
    """Names of the files in git that are missing, stale or too many."""
    with tempfile.TemporaryDirectory() as folder:
        generate(python, Path(folder))
        fresh, stored = contents(Path(folder)), contents(STUBS)
    names = sorted(fresh.keys() | stored.keys())
    return [name for name in names if fresh.get(name) != stored.get(name)]


def check(python: Path) -> int:
    """0 where the files in git are what the compiler writes, else 1 and their names."""
    stale = differences(python)
    if stale:
        sys.stderr.write(f"Stale: {', '.join(stale)}. Run: python scripts/generate_protos.py\n")
    return 1 if stale else 0


def main() -> int:
    """Run the command line; see the head of this file."""
    parser = argparse.ArgumentParser(description="Generate the Python code of the wire contract.")
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 on a difference")
    parser.add_argument("--setup", action="store_true", help="first install the pinned compiler")
    chosen = parser.parse_args()
    if chosen.setup:
        set_up()
    python = find_compiler()
    if python is None:
        sys.stderr.write(f"grpcio-tools {PIN} is missing. Run: python scripts/generate_protos.py --setup\n")
        return NO_COMPILER
    if chosen.check:
        return check(python)
    generate(python, STUBS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
