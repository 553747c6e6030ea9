"""The same steps for pyinfra: `STEPS=steps.json pyinfra --sudo HOST deploy.py`; every run checks all of them."""

import io
import json
import os
from pathlib import Path

from pyinfra import host  # type: ignore[import-not-found]
from pyinfra.facts.files import Directory, Sha256File  # type: ignore[import-not-found]
from pyinfra.operations import apt, files, server, systemd  # type: ignore[import-not-found]

steps = json.loads(Path(os.environ["STEPS"]).read_text())

apt.packages(name="packages", packages=steps["packages"])
for archive in steps["archives"]:
    if host.get_fact(Directory, path=archive["path"]) is None:
        unpack = [
            f"mkdir -p {steps['store']}",
            f"curl -fsS -o /tmp/archive {archive['url']}",
            f"echo {archive['sha256']} /tmp/archive | sha256sum --check --quiet",
            f"tar -C {steps['store']} --no-same-owner -xzf /tmp/archive",
            "rm /tmp/archive",
        ]
        server.shell(name=f"unpack {archive['path']}", commands=[" && ".join(unpack)])
    found = host.get_fact(Sha256File, path=archive["program"])
    if found not in {None, archive["program_sha256"]}:
        raise SystemExit(f"{archive['program']} has SHA-256 {found}")
model = steps["model"]
files.directory(name="model's folder", path=str(Path(model["path"]).parent))
files.download(name="model", src=model["url"], dest=model["path"], sha256sum=model["sha256"])
for path, target in steps["links"].items():
    files.link(name=f"link {path}", path=path, target=target)
for file in steps["files"]:
    files.put(name=f"file {file['path']}", src=io.StringIO(file["text"]), dest=file["path"], mode=file["mode"])
for unit, text in steps["units"].items():
    written = files.put(name=f"unit {unit}", src=io.StringIO(text), dest=f"/etc/systemd/system/{unit}", mode="644")
    systemd.service(name=f"service {unit}", service=unit, running=True, enabled=True, daemon_reload=written.changed)
