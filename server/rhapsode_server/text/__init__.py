"""The text room: what a caller wrote becomes what a voice says (docs/text.md)."""
