"""Generates helm/rhapsode/values.schema.json from the comments of values.yaml, so that the two cannot part.

A comment above a key may hold `# -- what it means` and, between two lines `# @schema`, what JSON schema
cannot guess from the default: bounds, patterns, choices. Every object of the chart is closed (a key that
is not in values.yaml is an error), every key with a default is required (null takes nothing away), and a
number is a `number` unless the comment says `type: integer`. `settings: {}` stands for the server's own tree
of settings, so that a typo in it is known before a pod is. With --check nothing is written.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from rhapsode_server.settings import Settings

CHART = Path(__file__).resolve().parents[1] / "helm" / "rhapsode"
FENCE = "@schema"
SCALARS = {"str": "string", "int": "number", "float": "number", "bool": "boolean"}
Schema = dict[str, Any]


def schema_of(text: str) -> Schema:
    """The whole schema of a values.yaml. Raises ValueError for a key without a comment or without bounds."""
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml is no mapping")
    made = _mapping(root, text.splitlines(), "")
    made["properties"]["global"] = {"type": "object", "description": "Values shared with a parent chart."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of Rhapsode's chart",
        **made,
    }


def _mapping(node: yaml.MappingNode, lines: list[str], path: str) -> Schema:
    properties: Schema = {}
    required: list[str] = []
    for key, value in node.value:
        name = f"{path}{key.value}"
        properties[key.value] = _property(value, lines, key.start_mark.line, name)
        if not value.tag.endswith(":null"):
            required.append(key.value)
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _property(node: yaml.Node, lines: list[str], line: int, name: str) -> Schema:
    said, description = _comment(lines, line)
    if "settings" in said:
        return {"description": description, **_settings()}
    if isinstance(node, yaml.MappingNode) and "additionalProperties" not in said:
        if not node.value:
            raise ValueError(f"{name} is an empty object: say `additionalProperties` in its @schema")
        return _mapping(node, lines, f"{name}.") | ({"description": description} if description else {})
    if not description:
        raise ValueError(f"{name} has no comment that begins with `# -- `")
    made = {"description": description, **_type(node, name, said), **said}
    types = made["type"] if isinstance(made["type"], list) else [made["type"]]
    if not {"number", "integer"}.isdisjoint(types) and "maximum" not in made:
        raise ValueError(f"{name} is a number: say its `maximum` in its @schema")
    return made


def _type(node: yaml.Node, name: str, said: Schema) -> Schema:
    if "type" in said:
        return {}
    if isinstance(node, yaml.MappingNode):
        return {"type": "object"}
    if isinstance(node, yaml.SequenceNode):
        if "items" not in said:
            raise ValueError(f"{name} is a list: say `items` in its @schema")
        return {"type": "array"}
    return {"type": SCALARS[node.tag.rpartition(":")[2]]}


def _comment(lines: list[str], line: int) -> tuple[Schema, str]:
    """What the comment right above `line` says: the @schema part and the description."""
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    above = [text.lstrip().removeprefix("#").removeprefix(" ") for text in lines[first:line]]
    fences = [number for number, text in enumerate(above) if text.strip() == FENCE]
    if len(fences) not in (0, 2):
        raise ValueError(f"line {line + 1}: a comment has either no `# @schema` or two")
    inside = above[fences[0] + 1 : fences[1]] if fences else []
    starts = [number for number, text in enumerate(above) if text.startswith("-- ")]
    words = " ".join(above[starts[-1] :]).removeprefix("-- ") if starts else ""
    return yaml.safe_load("\n".join(inside)) or {}, words


def _settings() -> Schema:
    """What the server takes, section by section; a setting that is unset is left out, so nothing is null."""
    sections = {}
    for section, field in Settings.model_fields.items():
        keys = {key: _given(schema) for key, schema in _properties(field.annotation).items()}
        sections[section] = {"type": "object", "additionalProperties": False, "properties": keys}
    return {"type": "object", "additionalProperties": False, "properties": sections}


def _properties(section: Any) -> Schema:
    properties: Schema = section.model_json_schema()["properties"]
    return properties


def _given(schema: Schema) -> Schema:
    """One setting's schema: what it may be, not what it means; and never null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    told = ("title", "description", "default", "anyOf")
    kept = {key: value for key, value in schema.items() if key not in told}
    if kept.get("type") == "object":  # its keys are written into a file as they are
        kept["propertyNames"] = {"pattern": "^[A-Za-z0-9_-]+$"}
    return {**kept, **choices[0]} if choices else kept


def main() -> int:
    """Write the schema, or with --check say how the one that is there differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail where the file is not up to date"
    )
    check = parser.parse_args().check
    wanted = json.dumps(schema_of((CHART / "values.yaml").read_text()), indent=2) + "\n"
    file = CHART / "values.schema.json"
    there = file.read_text() if file.exists() else ""
    if not check:
        file.write_text(wanted)
    elif wanted != there:
        sys.stderr.writelines(
            difflib.unified_diff(there.splitlines(True), wanted.splitlines(True), "is", "should be")
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
