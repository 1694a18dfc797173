"""Text to token ids: byte-level BPE from the checkpoint's vocab.json and merges.txt.

What must not live here: the prompt's layout. Built on the `tokenizers` library directly, so that the ids do
not depend on the version of transformers: 4.57.3 replaces the split pattern under some conditions (a local
folder, a large vocabulary and a certain version in config.json), 5.x does not. `split` chooses; "qwen" is the
pattern that the text model was trained with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models.qwen3_tts.config import TextIds
from rhapsode_server.models.qwen3_tts.json_fields import Fields, read_json

SplitPattern = Literal["qwen", "mistral"]
PATTERNS: dict[SplitPattern, str] = {
    "qwen": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "mistral": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
"""How text is cut into words before merging; both are the published patterns of these tokenizers."""


class TextTokenizer:
    """One checkpoint's tokenizer. Safe to use from several threads."""

    def __init__(self, path: Path, ids: TextIds, split: SplitPattern = "qwen") -> None:
        self._plain = _byte_level_bpe(path, split)
        self._controlled = _byte_level_bpe(path, split)
        self._controlled.add_special_tokens(_control_tokens(path / "tokenizer_config.json"))
        self._ids = ids
        self.role = (ids.im_start, *self.encode("assistant\n"))
        if self.role[1] != ids.assistant or len(self.role) != 3:
            raise ModelUnusable(
                f"{path}: vocab.json and the token ids of config.json do not belong together."
            )

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; what looks like a control token is read as ordinary characters."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def pieces(self, text: str) -> tuple[str, list[tuple[list[int], int, int]]]:
        """The normalised text and its words: the ids of each and the characters it covers."""
        normalised = str(self._plain.normalizer.normalize_str(text))
        words = []
        for _, (start, end) in self._plain.pre_tokenizer.pre_tokenize_str(normalised):
            words.append((self.encode(normalised[start:end]), start, end))
        return normalised, words

    def instruction(self, text: str) -> list[int]:
        """A whole user turn: how to speak."""
        turn = self.encode("user\n" + text)
        return [self._ids.im_start, *turn, self._ids.im_end, self.role[2]]

    def instruction_template(self, text: str) -> list[int]:
        """What the reference implementation tokenises for an instruction. For parity only."""
        turn = f"<|im_start|>user\n{text}<|im_end|>\n"
        return list(self._controlled.encode(turn, add_special_tokens=False).ids)

    def template(self, text: str, *, again: bool) -> list[int]:
        """What the reference implementation tokenises for `text`, control tokens in it and all.

        `again`: with the header of a further turn, as around the text to be spoken. For parity only.
        """
        turn = f"<|im_start|>assistant\n{text}<|im_end|>\n" + "<|im_start|>assistant\n" * again
        return list(self._controlled.encode(turn, add_special_tokens=False).ids)


def _byte_level_bpe(path: Path, split: SplitPattern) -> Tokenizer:
    vocabulary, merges = path / "vocab.json", path / "merges.txt"
    try:
        tokenizer = Tokenizer(BPE.from_file(str(vocabulary), str(merges)))
    except Exception:  # noqa: BLE001 - the library raises bare Exception for every problem with its files
        raise ModelUnusable(
            f"{vocabulary} and merges.txt cannot be read. Download the checkpoint again."
        ) from None
    tokenizer.normalizer = NFC()
    words = Split(Regex(PATTERNS[split]), behavior="isolated")
    tokenizer.pre_tokenizer = Sequence([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    return tokenizer


def _control_tokens(path: Path) -> list[AddedToken]:
    added = Fields(read_json(path), str(path)).mapping("added_tokens_decoder")
    if not all(number.isdecimal() and isinstance(entry, dict) for number, entry in added.items()):
        raise ModelUnusable(
            f"{path} has an 'added_tokens_decoder' that is unusable: token ids with an object each are "
            "expected. Use an unmodified checkpoint."
        )
    contents = [Fields(added[number], str(path)).text("content") for number in sorted(added, key=int)]
    return [AddedToken(content, normalized=False, special=True) for content in contents]
