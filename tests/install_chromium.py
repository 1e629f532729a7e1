"""Make sure that the browser tests have a Chromium: installed here on Debian as root, otherwise said to be missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def main() -> int:
    if shutil.which("chromium"):
        return 0
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing chromium for the browser tests ...", flush=True)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "chromium"]):
            done = subprocess.run(["apt-get", *command], env=environment, stdout=subprocess.DEVNULL, check=False)
            if done.returncode:
                break
        else:
            return 0
    print("The browser tests need Debian's chromium on the PATH; without it they are skipped.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
