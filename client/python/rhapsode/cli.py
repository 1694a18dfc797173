"""The command `rhapsode`: its options, and nothing else.

What must not live here: what the commands do (say.py, report.py, plugins.py), how they fail (failing.py).
gRPC is loaded by the commands that need it, not for help.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from rhapsode import plugins
from rhapsode.failing import Usage, told
from rhapsode.options import SpeechOptions

if TYPE_CHECKING:
    from rhapsode.client import Client

KEY = "RHAPSODE_API_KEY"

app = typer.Typer(
    name="rhapsode",
    epilog=f"A key for the server is taken from the environment: {KEY}. Exit codes: 0 done, 1 the server"
    " failed, 2 wrong usage or request, 3 no server, 4 the server is full, 5 not the whole text was spoken.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

Server = Annotated[
    str, typer.Option(envvar="RHAPSODE_SERVER", metavar="HOST:PORT", help="Address of the server.")
]
UseTls = Annotated[bool, typer.Option("--tls", envvar="RHAPSODE_TLS", help="Connect with TLS.")]
Ca = Annotated[
    Path | None,
    typer.Option(
        envvar="RHAPSODE_CA", metavar="FILE", help="Trust the certificates of this PEM file; implies --tls."
    ),
]
Timeout = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="What the call may take in all; no limit by itself.")
]
Rate = Annotated[
    int | None, typer.Option(min=1, metavar="HZ", help="Samples per second; the voice's own if not given.")
]
Speed = Annotated[
    float | None,
    typer.Option(min=0.01, metavar="FACTOR", help="Factor on the speaking rate: 2 is twice as fast."),
]
Seed = Annotated[
    int | None, typer.Option(min=0, metavar="NUMBER", help="The same seed gives the same sound.")
]
Temperature = Annotated[
    float | None, typer.Option(min=0.0, metavar="NUMBER", help="Spread of the model's draw.")
]


def option(metavar: str, text: str, *names: str) -> Any:
    """An option that is a text, empty where it is not given."""
    return typer.Option(*names, help=text, metavar=metavar, show_default=False)


def _version(wanted: bool) -> None:
    if wanted:
        from rhapsode.channel import client_version

        typer.echo(client_version())
        raise typer.Exit


@app.callback()
def base(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Speech from text, as it is spoken."""


@app.command()
def say(
    text: Annotated[
        list[str] | None,
        typer.Argument(help="What to say; standard input if not given.", metavar="TEXT"),
    ] = None,
    file: Annotated[str, option("FILE", "Read the text from this file, - for standard input.")] = "",
    out: Annotated[
        str, option("FILE", "Write the sound here, - for standard output; played if not given.")
    ] = "",
    format_: Annotated[
        str,
        option("NAME", "pcm, wav, mulaw, alaw or opus; by the name of --out if not given.", "--format"),
    ] = "",
    voice: Annotated[str, option("NAME", "Who speaks, see `rhapsode voices`.")] = "",
    language: Annotated[str, option("TAG", "Language of the text, such as en or de-CH.")] = "",
    instruction: Annotated[str, option("WORDS", "How to speak, if the model can follow.")] = "",
    rate: Rate = None,
    speed: Speed = None,
    seed: Seed = None,
    temperature: Temperature = None,
    server: Server = "localhost:50051",
    tls: UseTls = False,
    ca: Ca = None,
    timeout: Timeout = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no numbers.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Speak standard input as it is written; Ctrl-C stops it.")
    ] = False,
) -> None:
    """Speak a text: play it, or write it to a file."""
    with told():
        from rhapsode import say as saying
        from rhapsode import say_stream

        if stream and (text or file):
            raise Usage("With --stream the text comes from standard input: leave out TEXT and --file.")
        wanted = SpeechOptions(format=saying.choose_encoding(format_, out))
        wanted |= _given(voice=voice, language=language, instruction=instruction)
        wanted |= _given(sample_rate=rate, speed=speed, seed=seed, temperature=temperature)
        job = saying.Job("" if stream else saying.read_text(text or [], file), wanted, out, quiet)
        with connect(server, tls, ca, timeout) as client:
            (say_stream.run if stream else saying.run)(client, job, Console(stderr=True))


@app.command()
def voices(
    language: Annotated[str, option("TAG", "Only voices that speak this language, such as en.")] = "",
    server: Server = "localhost:50051",
    tls: UseTls = False,
    ca: Ca = None,
    timeout: Timeout = None,
) -> None:
    """List the voices of a server."""
    with told():
        from rhapsode.report import show_voices

        with connect(server, tls, ca, timeout) as client:
            found = client.voices(language)
        show_voices(Console(), found)


@app.command()
def clone(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A recording of one voice: WAV, FLAC, Ogg or MP3.")
    ],
    name: Annotated[str, option("NAME", "The voice's name; the server draws one if not given.")] = "",
    consent: Annotated[
        bool, typer.Option("--consent", help="The speaker has agreed that this voice is cloned.")
    ] = False,
    transcript: Annotated[
        str, option("WORDS", "All that is said in the recording; the voice comes out closer with it.")
    ] = "",
    language: Annotated[
        str, option("TAG", "The language that the voice is to speak; all if not given.")
    ] = "",
    description: Annotated[str, option("WORDS", "A sentence for people, shown by `rhapsode voices`.")] = "",
    server: Server = "localhost:50051",
    tls: UseTls = False,
    ca: Ca = None,
    timeout: Timeout = None,
) -> None:
    """Make a voice of a recording, for as long as the server keeps it."""
    with told():
        from rhapsode.report import show_made

        with connect(server, tls, ca, timeout) as client:
            made = client.create_voice(
                file,
                name,
                consent=consent,
                transcript=transcript,
                language=language,
                description=description,
            )
        show_made(Console(), made)


@app.command()
def design(
    description: Annotated[
        list[str], typer.Argument(metavar="WORDS", help='What the voice is like: "warm and unhurried".')
    ],
    name: Annotated[str, option("NAME", "The voice's name; the server draws one if not given.")] = "",
    language: Annotated[
        str, option("TAG", "The language that the voice is to speak; all if not given.")
    ] = "",
    server: Server = "localhost:50051",
    tls: UseTls = False,
    ca: Ca = None,
    timeout: Timeout = None,
) -> None:
    """Make a voice of a description, for as long as the server keeps it."""
    with told():
        from rhapsode.report import show_made

        with connect(server, tls, ca, timeout) as client:
            made = client.design_voice(" ".join(description), name, language=language)
        show_made(Console(), made)


@app.command()
def forget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A voice made by clone or design.")],
    server: Server = "localhost:50051",
    tls: UseTls = False,
    ca: Ca = None,
    timeout: Timeout = None,
) -> None:
    """Let the server forget a voice that was made."""
    with told(), connect(server, tls, ca, timeout) as client:
        client.delete_voice(name)


def _given(**options: Any) -> SpeechOptions:
    """Those that were given."""
    given: Any = {name: value for name, value in options.items() if value not in (None, "")}
    chosen: SpeechOptions = given
    return chosen


def connect(server: str, tls: bool, ca: Path | None, timeout: float | None) -> Client:
    """A client for that server; an empty address, as an empty variable gives it, is the usual one."""
    from rhapsode.channel import DEFAULT_TARGET, Tls
    from rhapsode.client import Client

    secrets: Tls | bool = Tls(ca=ca) if ca else tls
    return Client(server or DEFAULT_TARGET, tls=secrets, api_key=os.environ.get(KEY), timeout=timeout)


plugins.add_to(app)


def main() -> None:
    """The command line. gRPC tells of every hiccup unless it is asked not to before it is loaded."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    app()
