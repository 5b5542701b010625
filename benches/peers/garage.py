"""A Garage of the benchmark's own, and what its clients must know: benches/peers/run, group "store"."""

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

CACHE = Path(os.environ.get("MAINT_TEST_CACHE", Path.home() / ".cache/maint-tests"))
MIB = 1 << 20
BUCKET = "maint-bench"
ACCESS, SECRET = "GK0123456789abcdef01234567", "0123456789abcdef" * 4


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Garage:
    """The server; every measured upload gets a file of fresh random bytes, for Garage stores equal blocks only once."""

    def __init__(self, work, out, size):
        self.out, self.size, self.number = out, size, 0
        self.dir = work / "garage"
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir()
        api, rpc, admin = free_port(), free_port(), free_port()
        self.endpoint = f"http://127.0.0.1:{api}"
        (self.dir / "garage.toml").write_text(
            f'metadata_dir = "{self.dir}/meta"\ndata_dir = "{self.dir}/data"\ndb_engine = "sqlite"\n'
            f'replication_factor = 1\nrpc_bind_addr = "127.0.0.1:{rpc}"\nrpc_public_addr = "127.0.0.1:{rpc}"\n'
            f'rpc_secret = "{SECRET}"\n[s3_api]\ns3_region = "us-east-1"\napi_bind_addr = "127.0.0.1:{api}"\n'
            f'[admin]\napi_bind_addr = "127.0.0.1:{admin}"\n')
        env = dict(os.environ, GARAGE_DEFAULT_ACCESS_KEY=ACCESS, GARAGE_DEFAULT_SECRET_KEY=SECRET,
                   GARAGE_DEFAULT_BUCKET=BUCKET, RUST_LOG="garage=warn")
        log = (self.dir / "log").open("wb")
        command = [CACHE / "garage/bin/garage", "-c", self.dir / "garage.toml", "server", "--single-node", "--default-bucket"]
        self.child = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        os.environ.update(AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION="us-east-1",
                          AWS_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true", ENDPOINT=self.endpoint,
                          PATH=f"{os.environ['PATH']}:{CACHE / 'python/bin'}")
        # rclone does not understand it, and nothing here speaks TLS.
        os.environ.pop("AWS_CA_BUNDLE", None)
        for _ in range(200):
            listed = subprocess.run(["aws", "--endpoint-url", self.endpoint, "s3", "ls", f"s3://{BUCKET}"], capture_output=True)
            if listed.returncode == 0:
                return
            time.sleep(0.1)
        self.stop()
        raise SystemExit("garage did not come up: scripts/install-deps test")

    def fresh(self):
        """Another file, at $OUT/upload, under another key, $KEY; what maint is asked to do with it at $OUT/put.json."""
        self.number += 1
        os.environ["KEY"] = f"upload-{self.number}"
        sha = hashlib.sha256()
        with (self.out / "upload").open("wb") as file:
            for _ in range(self.size // (16 * MIB)):
                piece = secrets.token_bytes(16 * MIB)
                sha.update(piece)
                file.write(piece)
        asked = {"endpoint": self.endpoint, "bucket": BUCKET, "prefix": "", "state": str(self.out / "put-state"),
                 "key": os.environ["KEY"], "file": str(self.out / "upload"), "bytes": self.size, "sha256": sha.hexdigest()}
        (self.out / "put.json").write_text(json.dumps(asked))

    def stop(self):
        self.child.terminate()
        self.child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def uploader():
    """maint's own upload as a program: a test binary of scripts/soak, built for release."""
    command = ["cargo", "test", "--locked", "--release", "--test", "soak", "--no-run", "--message-format=json"]
    built = subprocess.check_output(command, text=True, cwd=Path(__file__).resolve().parents[2])
    artifacts = [json.loads(line) for line in built.splitlines()]
    return next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "soak")
