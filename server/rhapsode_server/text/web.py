"""Addresses of the web, e-mail, files, handles and tags.

Lives here: text that is written for machines, and how it is said. What must not: Markdown (signs.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_letters, digits

from rhapsode_server.text.figures import digits as one_by_one
from rhapsode_server.text.spoken import Part, Rule, Scene
from rhapsode_server.text.words import code_parts, word_parts

_TOP = (
    "com|org|net|edu|gov|mil|int|io|ai|dev|app|co|uk|us|ca|de|fr|eu|au|nz|in|jp|cn|info|biz|me|tv|xyz|tech|shop|store|"
    "online|site|cloud|gg|ly|be|ch|at|nl|se|no|it|es|pl|br|mx|ie|fm|sh|so|to|wiki|blog|news|health|page"
)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}\.){{1,6}}(?:{_TOP})"
_TAIL = r"(?::\d{1,5})?(?:[/?#][^\s<>\"{}|\\^`\[\]\x00]{0,400})?"
_URL = re.compile(
    rf"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{{1,12}}://)(?P<rest>[^\s<>\"{{}}|\\^`\[\]\x00]{{1,480}})"
    rf"|(?P<bare>(?:www\.|(?=[A-Za-z0-9-]{{1,63}}\.)){_HOST}(?![\w@-]|\.\w){_TAIL})"
)
_MAIL = re.compile(
    rf"(?:mailto:)?(?P<local>[A-Za-z0-9][\w.+%-]{{0,63}})@(?P<host>(?:{_LABEL}\.){{1,6}}[A-Za-z]{{2,12}})"
)
_FILE = re.compile(
    r"[A-Za-z_][\w-]{0,60}(?:\.[\w-]{1,30}){0,3}\.(?P<kind>[a-z][a-z0-9]{0,4})(?![\w/.]\w)(?!\w)"
)
_KINDS = frozenset(
    [
        "py",
        "js",
        "ts",
        "tsx",
        "jsx",
        "json",
        "yaml",
        "yml",
        "toml",
        "md",
        "txt",
        "csv",
        "pdf",
        "doc",
        "docx",
        "xls",
        "xlsx",
        "ppt",
        "pptx",
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "mp3",
        "mp4",
        "wav",
        "zip",
        "tar",
        "gz",
        "html",
        "htm",
        "css",
        "xml",
        "java",
        "go",
        "rs",
        "c",
        "h",
        "cpp",
        "hpp",
        "sh",
        "rb",
        "php",
        "sql",
        "log",
        "ini",
        "cfg",
        "env",
        "exe",
        "dll",
        "proto",
        "lock",
        "conf",
    ]
)
_PATH = re.compile(r"(?<![\w)])(?:(?:~|\.{1,2})?(?:/[\w.+-]{1,60}){2,12}/?|(?:~|\.{1,2})/[\w.+-]{1,60})")
_HANDLE = re.compile(r"@(?P<name>[A-Za-z0-9_][\w.]{0,40})")
_TAG = re.compile(r"#(?![A-Z]{1,4}-?\d)(?P<name>[A-Za-z_][\w]{0,60})")
_TRAILING = ".,;:!?'\")*_"
_SAID = {
    "²": "squared", "³": "cubed",
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "+": "plus", ":": "colon",
    "?": "question mark", "=": "equals", "&": "and", "#": "hash", "%": "percent", "~": "tilde",
}  # fmt: skip
_RUN = re.compile(r"[A-Za-z0-9]+|.", re.DOTALL)
_SPELLED_TOP = frozenset(
    [
        "io",
        "ai",
        "uk",
        "us",
        "ca",
        "de",
        "fr",
        "eu",
        "au",
        "nz",
        "jp",
        "cn",
        "tv",
        "me",
        "gg",
        "ly",
        "be",
        "ch",
        "nl",
        "se",
        "pl",
        "br",
        "mx",
        "ie",
        "fm",
        "sh",
        "js",
        "ts",
        "py",
    ]
)


def spell_out(text: str, begin: int) -> list[Part]:
    """An address run by run: words as words, figures one by one, signs by their names."""
    parts: list[Part] = []
    for run in _RUN.finditer(text):
        at = begin + run.start()
        if run[0].isascii() and run[0].isalnum():
            parts += _run_parts(run[0], at)
        elif run[0] in _SAID:
            parts += [Part(word, at, at + 1) for word in _SAID[run[0]].split()]
    return parts


def _run_parts(run: str, at: int) -> list[Part]:
    if run.isdigit():
        return one_by_one(run, at)
    if any(character.isdigit() for character in run):
        return code_parts(run, at)
    if run.lower() in _SPELLED_TOP or run.lower() == "www":
        return word_parts(run.upper(), at)
    return word_parts(run, at)


def _say_url(found: re.Match[str], _: Scene) -> Sequence[Part] | None:
    """The address without its scheme and without a slash at its end."""
    name = "rest" if found["scheme"] else "bare"
    text = found[name].rstrip(_TRAILING + "/")
    return spell_out(text, found.start(name)) or None


def _say_mail(found: re.Match[str], _: Scene) -> Sequence[Part]:
    begin = found.start("local")
    return spell_out(found.string[begin : found.end("host")], begin)


def _say_file(found: re.Match[str], _: Scene) -> Sequence[Part] | None:
    return spell_out(found[0], found.start()) if found["kind"] in _KINDS else None


def _say_path(found: re.Match[str], _: Scene) -> Sequence[Part]:
    return spell_out(found[0].rstrip(_TRAILING), found.start())


def _say_handle(found: re.Match[str], _: Scene) -> Sequence[Part]:
    name = found["name"].rstrip("._")
    return [Part("at", found.start(), found.start() + 1), *spell_out(name, found.start("name"))]


def _say_tag(found: re.Match[str], _: Scene) -> Sequence[Part]:
    said: list[Part] = [Part("hashtag", found.start(), found.start() + 1)]
    for run in re.finditer(r"[A-Za-z0-9]+", found["name"]):
        at = found.start("name") + run.start()
        said += code_parts(run[0], at) if not run[0].isalpha() else word_parts(run[0], at)
    return said


RULES = {
    ascii_letters + digits: (Rule(_MAIL, _say_mail), Rule(_URL, _say_url)),
    ascii_letters + "_": (Rule(_FILE, _say_file),),
    "/~.": (Rule(_PATH, _say_path),),
    "@": (Rule(_HANDLE, _say_handle),),
    "#": (Rule(_TAG, _say_tag),),
}
