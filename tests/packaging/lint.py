"""Judges the files that others read: Docker, its compose, shells. Told the root of the repository; tells what is wrong."""

import json
import os
import re
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import compose_spec
import jsonschema
import yaml

TOOLS = Path(sys.executable).parent
ADD_ON = Path("packaging/home-assistant/latchkey")
SHELL = ["config/passwords", "packaging/release", "test", ".ci/run"]
DOCKERFILES = ["Dockerfile", str(ADD_ON / "Dockerfile")]
YAML = ["docker-compose.yml", "packaging/home-assistant"]
YAMLLINT = "{extends: default, rules: {document-start: disable, line-length: {max: 160}}}"
# The one file that a user makes.
MADE_BY_THE_USER = "./latchkey.toml"
# Somebody else's, who asks for more.
NOT_SEALED = {"home-assistant"}


def tool(name, *arguments):
    """What a linter says of files of the repository, line by line."""
    ended = subprocess.run([TOOLS / name, *arguments], capture_output=True, text=True, check=False)
    said = (ended.stdout + ended.stderr).strip()
    if ended.returncode and not said:
        return [f"{name} ended with {ended.returncode}"]
    return [f"{name}: {line}" for line in said.splitlines()]


def composition():
    """The composition by the specification, and by what this project promises of it."""
    document = yaml.safe_load(Path("docker-compose.yml").read_text())
    try:
        compose_spec.PyCompose.from_json(json.dumps(document))
    except ValueError as error:
        yield f"docker-compose.yml: {error}"
    for name, service in document["services"].items():
        for mount in service.get("volumes", []):
            if isinstance(mount, str):
                source = mount.split(":")[0]
            else:
                source = mount["source"]
                if mount["bind"]["create_host_path"]:
                    yield f"{name}: Docker would make {source} a folder where it is missing"
            if source.startswith("."):
                if source != MADE_BY_THE_USER and not Path(source).is_file():
                    yield f"{name}: there is no {source}"
            elif source not in document["volumes"]:
                yield f"{name}: the volume {source} is not declared"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: {port} is open to others than this machine"
        if name in NOT_SEALED:
            continue
        if not service.get("read_only") or service.get("cap_drop") != ["ALL"]:
            yield f"{name}: its root is not read-only, or it has capabilities"
        if service.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name}: it may gain rights"
        if service.get("user", "0:0") == "0:0" and service.get("network_mode") != "none":
            yield f"{name}: it is root and has a network"


def add_on():
    """The add-on by the supervisor's rules, and by what it promises of itself."""
    repository = yaml.safe_load((ADD_ON.parent / "repository.yaml").read_text())
    if not isinstance(repository.get("name"), str) or set(repository) - {"name", "url", "maintainer"}:
        yield "repository.yaml: name, and perhaps url and maintainer"
    config = yaml.safe_load((ADD_ON / "config.yaml").read_text())
    rules = json.loads(Path("tests/packaging/add-on.schema.json").read_text())
    for error in jsonschema.Draft7Validator(rules).iter_errors(config):
        yield f"config.yaml: {'.'.join(map(str, error.path))}: {error.message}"
    version = tomllib.loads(Path("Cargo.toml").read_text())["package"]["version"]
    if config["version"] != version:
        yield f"config.yaml: the version is not that of Cargo.toml, {version}"
    if f':{config["ingress_port"]}"' not in Path("src/config/add_on.rs").read_text():
        yield "config.yaml: ingress_port is not where Latchkey listens"
    if f"## {version}" not in (ADD_ON / "CHANGELOG.md").read_text():
        yield f"CHANGELOG.md: nothing of {version}"
    for name in ["DOCS.md", "README.md"]:
        if not (ADD_ON / name).is_file():
            yield f"there is no {name}"
    if picture_size(ADD_ON / "icon.png") != (128, 128):
        yield "icon.png: it is not 128 by 128"
    width, height = picture_size(ADD_ON / "logo.png")
    if not (height < width <= 500 and height <= 200):
        yield "logo.png: it is no banner"

    schema = config["schema"]
    yield from (f"options: {it}" for it in misfits(schema, config["options"], ""))
    example = json.loads(Path("tests/packaging/options.json").read_text())
    yield from (f"options.json: {it}" for it in misfits(schema, example, ""))
    unused = leaves(schema) - leaves(example)
    if unused:
        yield f"options.json: it lacks {sorted(unused)}"
    translation = yaml.safe_load((ADD_ON / "translations/en.yaml").read_text())
    if set(translation) - {"configuration", "network"}:
        yield "en.yaml: configuration, and perhaps network"
    yield from (f"en.yaml: {it}" for it in untranslated(schema, translation["configuration"], ""))


def picture_size(path):
    """Width and height of a PNG."""
    return struct.unpack(">II", path.read_bytes()[16:24])


def misfits(element, value, place):
    """Where a value is not as the supervisor's schema wants it."""
    if isinstance(element, dict):
        if not isinstance(value, dict):
            yield f"{place}: no table"
            return
        for key in set(element) - set(value):
            # Of a list, its entries say whether it may be missing.
            wanted = element[key][0] if isinstance(element[key], list) else element[key]
            if not (isinstance(wanted, str) and wanted.endswith("?")):
                yield f"{place}.{key}: it is missing"
        for key, inner in value.items():
            if key in element:
                yield from misfits(element[key], inner, f"{place}.{key}")
            else:
                yield f"{place}.{key}: the schema does not know it"
    elif isinstance(element, list):
        if not isinstance(value, list):
            yield f"{place}: no list"
            return
        for inner in value:
            yield from misfits(element[0], inner, place)
    elif not fits(element.removesuffix("?"), value):
        yield f"{place}: not as {element}"


def fits(element, value):
    """Whether a single value is as its type wants it."""
    name, _, arguments = element.partition("(")
    arguments = arguments.removesuffix(")")
    match name:
        case "bool":
            return isinstance(value, bool)
        case "port":
            return isinstance(value, int) and 0 < value < 65536
        case "int":
            least, most = (int(it) for it in arguments.split(","))
            return isinstance(value, int) and least <= value <= most
        case "list":
            return value in arguments.split("|")
        case "match":
            return isinstance(value, str) and re.match(arguments, value) is not None
        case "str" | "password":
            return isinstance(value, str)
        case _:
            raise NotImplementedError(element)


def leaves(element, place=""):
    """The places of all values."""
    match element:
        case dict():
            return set().union(*(leaves(inner, f"{place}.{key}") for key, inner in element.items()))
        case list():
            return set().union(*(leaves(inner, place) for inner in element))
        case _:
            return {place}


def untranslated(schema, words, place):
    """Options without words, and words without an option."""
    for key in set(schema) ^ set(words):
        yield f"{place}.{key}: it is there or in config.yaml, not in both"
    for key in set(schema) & set(words):
        said = words[key]
        if not isinstance(said.get("name"), str) or set(said) - {"name", "description", "fields"}:
            yield f"{place}.{key}: a name, and perhaps a description and fields"
        inner = schema[key][0] if isinstance(schema[key], list) else schema[key]
        if isinstance(inner, dict):
            yield from untranslated(inner, said.get("fields", {}), f"{place}.{key}")


def main():
    os.chdir(json.load(sys.stdin)["root"])
    findings = [
        *tool("hadolint", *DOCKERFILES),
        *tool("shellcheck", "--format", "gcc", *SHELL),
        *tool("yamllint", "--strict", "--format", "parsable", "--config-data", YAMLLINT, *YAML),
        *composition(),
        *add_on(),
    ]
    json.dump(findings, sys.stdout)


main()
