"""Run by .venv-chart: which objects of a manifest does Kubernetes not know as they are written?

    python kinds.py FOLDER VERSION... < manifest      one line for each complaint

Core kinds are held strictly against the schemas of each Kubernetes VERSION (1.30). Kinds of others are held
against the definitions (CustomResourceDefinition) in the FOLDER, and every field that such a definition
does not name is a complaint too: the API server would drop it in silence.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

Definition = dict[str, Any]


def definitions(folder: Path) -> dict[tuple[str, str], Definition]:
    """Schemas by apiVersion and kind."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        for crd in yaml.safe_load_all(path.read_text()):
            for version in crd["spec"]["versions"]:
                name = f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]
                found[name] = version["schema"]["openAPIV3Schema"]
    return found


def closed(schema: Any) -> Any:
    """The same schema, refusing what it does not name (unless it says that anything goes)."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(part) for key, part in schema.items() if key not in ("description", "default")}
    own = isinstance(made.get("properties"), dict) and "type" in made
    if own and "additionalProperties" not in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    if made.pop("x-kubernetes-int-or-string", False):
        made.pop("type", None)
    if "metadata" in (made.get("properties") or {}) and "spec" in made["properties"]:
        made["properties"]["metadata"] = {"type": "object"}
    return made


def complaints(
    found: Definition, known: dict[tuple[str, str], Definition], versions: list[str]
) -> Iterator[str]:
    """What is wrong with one object."""
    schema = known.get((found["apiVersion"], found["kind"]))
    if schema is not None:
        for error in jsonschema.Draft7Validator(closed(schema)).iter_errors(found):
            yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        return
    for version in versions:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}"
        except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
            yield f"Kubernetes {version} does not know it: {error}"


def main() -> int:
    """Print every complaint; 1 where there is one."""
    known, versions = definitions(Path(sys.argv[1])), sys.argv[2:]
    written = {str(found): found for found in yaml.safe_load_all(sys.stdin) if found}  # each object once
    said = [
        f"{found['kind']} {found['metadata']['name']}: {complaint}"
        for found in written.values()
        for complaint in complaints(found, known, versions)
    ]
    sys.stdout.writelines(f"{line}\n" for line in said)
    return 1 if said else 0


if __name__ == "__main__":
    raise SystemExit(main())
