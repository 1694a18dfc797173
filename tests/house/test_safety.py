"""What no file of ours may do: run data as code, hide an error, or shout with a shell.

Read from the syntax tree, so that a comment or a string about it is no offence.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.house.conftest import Source

CODE_IN_DATA = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval": "runs text as code",
    "exec": "runs text as code",
    "compile": "makes code of text",
    "__import__": "imports by a name that data may choose; use importlib with a table of our own names",
    "yaml.load": "builds any object; use yaml.safe_load",
    "os.system": "runs a shell",
    "os.popen": "runs a shell",
    "tempfile.mktemp": "another process may take the name first",
}
FORBIDDEN_ARGUMENTS = {
    "trust_remote_code": "runs code that came with a checkpoint",
    "allow_pickle": "loads pickled objects",
    "shell": "runs a shell",
}
BROAD = {"Exception", "BaseException"}
EDGES: dict[str, str] = {
    "client/python/rhapsode/aio_context.py": "what the caller's own text raises is for the caller's reader",
    "client/python/rhapsode/context.py": "what the caller's own text raises is for the caller's reader",
    "server/rhapsode_server/engine/runner.py": "a model's error fails the rows that caused it",
    "server/rhapsode_server/engine/worker.py": "the thread's edge: what fails becomes the streams' error",
    "server/rhapsode_server/models/qwen3_tts/tokenizer.py": "a bad file raises Exception itself",
    "server/rhapsode_server/rpc/interceptors.py": "the call's edge: what is unknown becomes INTERNAL",
    "server/rhapsode_server/rpc/service.py": "the call's edge: what is unknown becomes INTERNAL",
}
"""The files that may catch everything, and why. Elsewhere an error is caught by its name."""


def dotted(node: ast.expr) -> str:
    """`a.b.c` for that expression, "" for anything that is not a plain dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def call_offences(call: ast.Call) -> Iterator[str]:
    """What is wrong with one call."""
    name = dotted(call.func)
    if name in FORBIDDEN_CALLS:
        yield f"{name}() {FORBIDDEN_CALLS[name]}"
    arguments = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    if name == "torch.load" and not _is(arguments.get("weights_only"), True):
        yield "torch.load() without weights_only=True runs code from the file; prefer safetensors"
    for argument, why in FORBIDDEN_ARGUMENTS.items():
        if argument in arguments and not _is(arguments[argument], False):
            yield f"{argument}= {why}"


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def import_offences(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Modules that run what they load."""
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    for name in names:
        if name.partition(".")[0] in CODE_IN_DATA:
            yield f"{name} runs code from what it loads; use safetensors or JSON"


def offences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and reason of everything unsafe below `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from ((node.lineno, why) for why in call_offences(node))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node.lineno, why) for why in import_offences(node))


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether it catches everything and keeps it: one that ends by raising again hides nothing."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    broad = any(kind is None or dotted(kind) in BROAD for kind in kinds)
    last = handler.body[-1]
    return broad and not (isinstance(last, ast.Raise) and last.exc is None)


def broad_handlers(tree: ast.AST) -> list[int]:
    """Lines of the handlers that catch everything and keep it."""
    handlers = (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))
    return [handler.lineno for handler in handlers if is_broad(handler)]


def test_nothing_runs_data_as_code(python: list[Source]) -> None:
    found = [f"{source.path}:{line}: {why}" for source in python for line, why in offences(source.tree)]
    assert not found, "\n".join(found)


def test_errors_are_caught_by_name(shipped: list[Source]) -> None:
    found = [
        f"{source.path}:{line}"
        for source in shipped
        if source.path not in EDGES
        for line in broad_handlers(source.tree)
    ]
    assert not found, f"catch what you can answer; only the edges in EDGES may catch everything: {found}"


def _reasons(code: str) -> list[str]:
    return [why for _, why in offences(ast.parse(code))]


def test_the_rules_have_teeth() -> None:
    for code in (
        *("import pickle", "from pickle import loads", "import torch\ntorch.load(f)", "eval(x)", "exec(x)"),
        *("torch.load(f, weights_only=False)", "AutoModel.from_pretrained(n, trust_remote_code=True)"),
        *("np.load(f, allow_pickle=flag)", "subprocess.run(c, shell=True)", "yaml.load(f)"),
    ):
        assert _reasons(code), code


def test_the_rules_know_a_friend() -> None:
    for code in (
        *("model.eval()", "re.compile(x)", "torch.compile(f)", "torch.load(f, weights_only=True)"),
        *("safetensors.torch.load(f)", "np.load(f, allow_pickle=False)", "# pickle", "'eval(x)'"),
    ):
        assert not _reasons(code), code


def test_broad_handlers_are_known_by_what_they_keep() -> None:
    keeps = "try:\n    f()\nexcept Exception:\n    pass"
    bare = "try:\n    f()\nexcept:\n    log()"
    pair = "try:\n    f()\nexcept (ValueError, BaseException):\n    g()"
    again = "try:\n    f()\nexcept BaseException:\n    tidy()\n    raise"
    named = "try:\n    f()\nexcept ValueError:\n    pass"
    lines = [broad_handlers(ast.parse(code)) for code in (keeps, bare, pair, again, named)]
    assert lines == [[3], [3], [3], [], []]
