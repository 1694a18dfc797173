"""One sentence from nothing: start a server, wait until it is ready, stream speech through the real client.

    python scripts/speak.py [--model NAME] [--out FILE] [TEXT]

What lives here: a server process's life around one call of `rhapsode say`, and playing the file where
there is a sound device. What must not: speech. Everything that makes or moves sound is the server's and
the client's, and what they print is what is seen here.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console

COMMAND = Path(sys.executable).with_name("rhapsode")
LOG = Path("build", "speak-server.log")
TELLERS = (" rhapsode_server.main: ", " rhapsode_server.loading: ")
"""The loggers that tell of the start."""
START_SECONDS = 600.0
USAGE = 2
INTERRUPTED = 130
STOP_SECONDS = 20.0
ABOUT_THE_SERVER = (1, 3)
"""Exit codes of the client whose cause may stand in the server's log."""
PLAYERS = (("pw-play",), ("paplay",), ("aplay", "-q"), ("afplay",))

console = Console(stderr=True)


class SpeakFailed(Exception):
    """Ends the script; the message says what to do, "" where the client has said it already."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def log_tail(lines: int = 15) -> str:
    """The last words of the server."""
    return "\n".join(LOG.read_text(errors="replace").splitlines()[-lines:])


class Progress:
    """Repeats what the server says of its start (`loading ...`), without time, level and logger."""

    def __init__(self) -> None:
        self._shown = 0

    def show(self) -> None:
        """Print the lines that are new; the settings are many, and the log has them."""
        lines = LOG.read_text(errors="replace").splitlines()
        for line in lines[self._shown :]:
            said = next((line.partition(teller)[2] for teller in TELLERS if teller in line), "")
            if said and not said.startswith("settings:"):
                console.print(f"  {said}", style="dim", highlight=False, markup=False)
        self._shown = len(lines)


@contextmanager
def running_server(model: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`rhapsode serve` for as long as the block lasts, in a session of its own so that Ctrl-C is ours."""
    LOG.parent.mkdir(exist_ok=True)
    command = [str(COMMAND), "serve", "--model", model, "--port", str(port)]
    with LOG.open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            server.kill()
            server.wait()


def is_serving(stub: health_pb2_grpc.HealthStub) -> bool:
    """One question to the health service; a server that does not answer yet is not serving."""
    try:
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def wait_ready(server: subprocess.Popen[bytes], port: int) -> float:
    """Seconds until the server said SERVING; SpeakFailed where it ended or took too long."""
    began, progress = time.monotonic(), Progress()
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while not is_serving(stub):
            if server.poll() is not None:
                raise SpeakFailed(f"The server ended with code {server.returncode}:\n{log_tail()}")
            if time.monotonic() - began > START_SECONDS:
                raise SpeakFailed(f"The server was not ready after {START_SECONDS:.0f} s:\n{log_tail()}")
            progress.show()
            time.sleep(0.05)
    progress.show()
    return time.monotonic() - began


def say(port: int, text: str, out: Path) -> None:
    """The real client, with its own output on our terminal."""
    command = [str(COMMAND), "say", "--server", f"127.0.0.1:{port}", "--out", str(out), "--", text]
    code = subprocess.run(command, check=False).returncode  # noqa: S603
    if code in ABOUT_THE_SERVER:
        raise SpeakFailed(f"The client failed; the server said:\n{log_tail()}", code)
    if code:
        raise SpeakFailed("", code)


def has_sound_device() -> bool:
    """Whether this machine can be heard: a playback device of the kernel's, or a Mac."""
    return sys.platform == "darwin" or any(Path("/dev/snd").glob("pcm*p"))


def play(path: Path) -> bool:
    """Play the file with the first player there is; False where the machine has no sound."""
    found = [(*player, str(path)) for player in PLAYERS if shutil.which(player[0])]
    if not found or not has_sound_device():
        return False
    return subprocess.run(found[0], check=False).returncode == 0  # noqa: S603


def speak(model: str, text: str, out: Path) -> None:
    """All of it, with progress."""
    port = free_port()
    with running_server(model, port) as server:
        console.print(f"Starting the server with the model {model}; its log is {LOG}.")
        with console.status("starting"):
            seconds = wait_ready(server, port)
        console.print(f"Ready after {seconds:.1f} s.")
        say(port, text, out)
    if not play(out):
        console.print(f"There is no sound device here: listen to {out}.", highlight=False)


def main() -> int:
    """Run the command line; see the head of this file."""
    parser = argparse.ArgumentParser(description="Start a server, speak one text, stop the server.")
    parser.add_argument("--model", default="ion", help="which model to load")
    parser.add_argument("--out", type=Path, default=Path("speech.wav"), help="the WAV file to write")
    parser.add_argument("text", nargs="?", default="Hello!", help="what to say")
    chosen = parser.parse_args()
    if not chosen.text.strip():
        console.print('There is nothing to say. Give a text: make speak TEXT="Hello!"', style="red")
        return USAGE
    try:
        speak(chosen.model, chosen.text, chosen.out)
    except SpeakFailed as problem:
        if str(problem):
            console.print(str(problem), style="red", markup=False)
        return problem.code
    except KeyboardInterrupt:  # the server has ended: running_server has seen to it
        console.print("Interrupted.")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
