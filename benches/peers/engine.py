"""A private Docker engine for the benchmark: own socket, own data, an image of static busybox, the volume filled."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path


class Engine:
    image = "maint-bench-busybox"

    def __init__(self, work):
        self.dir = Path(tempfile.mkdtemp(prefix="maint-bench-"))
        self.host = f"unix://{self.dir}/docker.sock"
        os.environ["DOCKER_HOST"] = self.host
        self.log = (self.dir / "log").open("wb")
        self.daemon = subprocess.Popen(
            ["dockerd", "--host", self.host, "--data-root", self.dir / "data", "--exec-root", self.dir / "exec",
             "--pidfile", self.dir / "pid", "--iptables=false", "--bridge=none"],
            stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)
        for _ in range(120):
            if subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
                break
            time.sleep(0.25)
        else:
            self.stop()
            raise SystemExit("dockerd did not start (as root?)")
        self.fill(work)

    def fill(self, work):
        root = self.dir / "root"
        (root / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        for name in ("sh", "tar", "gzip"):
            (root / "bin" / name).symlink_to("busybox")
        tar = subprocess.Popen(["tar", "-c", "-C", root, "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", self.image], stdin=tar.stdout, check=True, capture_output=True)
        subprocess.run(["docker", "volume", "create", "maint_bench"], check=True, capture_output=True)
        self.volume = self.dir / "data/volumes/maint_bench/_data"
        subprocess.run(["cp", "-a", f"{work}/volume/.", self.volume], check=True)

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait(30)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
