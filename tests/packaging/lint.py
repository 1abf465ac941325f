"""Judges the files that others read: Docker, its compose, shells. Told the root of the repository; tells what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import compose_spec
import yaml

TOOLS = Path(sys.executable).parent
SHELL = ["config/passwords", "test", ".ci/run"]
DOCKERFILES = ["Dockerfile"]
YAML = ["docker-compose.yml"]
YAMLLINT = "{extends: default, rules: {document-start: disable, line-length: {max: 120}}}"
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


def main():
    os.chdir(json.load(sys.stdin)["root"])
    findings = [
        *tool("hadolint", *DOCKERFILES),
        *tool("shellcheck", "--format", "gcc", *SHELL),
        *tool("yamllint", "--strict", "--format", "parsable", "--config-data", YAMLLINT, *YAML),
        *composition(),
    ]
    json.dump(findings, sys.stdout)


main()
