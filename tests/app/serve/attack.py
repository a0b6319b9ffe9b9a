"""Attacks a running page with known kinds of hostile input, and counts: python -m tests.app.serve.attack [FOLDER]

Starts `btlib serve` here with the models of models/deploy, and sends hostile uploads, also those below FOLDER,
malformed requests, foreign hosts and origins, many uploads at once, and clients that disconnect. Prints
how many responses had which status, and any leftovers. The exit code is 1 after a status 500, a leftover, or
if the page no longer responds.
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from tests.app.serve import fakes

PATIENCE = 600
GOOD = fakes.png(height=200, width=200)
BITS = 100  # mutated images
RUBBISH = 5000
AT_ONCE = 200
LEAVING = 20
HOSTS = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "[::1]", "0.0.0.0", "127.1", "2130706433"]
HOSTS += [f"{host}{more}" for host in HOSTS for more in (":8000", ".")]
ORIGINS = ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost", "file://", "http://localhost.evil"]
ORIGINS += [f"{origin}{more}" for origin in ORIGINS for more in (":8000", "/")]
PATHS = ["/../app.py", "/..%2fapp.py", "/%2e%2e/app.py", "/..%5capp.py", "/static/../../app.py", "//etc/passwd", "/%00"]
PATHS += [f"{'/..' * depth}/etc/passwd" for depth in range(1, 15)]
PATHS += [f"/{'%2e%2e%2f' * depth}etc/passwd" for depth in range(1, 15)]


def main() -> None:
    """See the module docstring."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, running(Path(folder)) as (process, page):
        before = memory(process)
        counts = {
            "hostile uploads": uploads(page, hostile()),
            "uploads below FOLDER": uploads(page, below(sys.argv[1:])),
            "Hosts": Counter(page.get("/", headers={"host": host}).status_code for host in HOSTS),
            "origins": Counter(send(page, ("a.png", GOOD), origin=origin) for origin in ORIGINS),
            "paths": Counter(raw(page, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) for path in PATHS),
            "rubbish requests": rubbish(page),
            "clients that disconnect": leaving(page),
            "uploads at once": at_once(page),
            "afterwards": Counter([send(page, ("a.png", GOOD))]),
        }
        left = list(Path(folder).glob("*/btlib-????????"))
        after = memory(process)
        for what, found in counts.items():
            print(f"{what}: {sum(found.values())}; {dict(found)}", flush=True)
        print(f"left: {len(left)}; server before {before} MiB, after {after} MiB", flush=True)
        process.send_signal(signal.SIGINT)
        print(f"ended with {process.wait(10)}, left: {len(list(Path(folder).iterdir()))}")
        failed = any(500 in found for found in counts.values()) or left or counts["afterwards"] != {200: 1}
    sys.exit(bool(failed))


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen, httpx.Client]]:
    """The page's process, and a client for it."""
    command = [sys.executable, "-m", "btlib.cli", "serve", "--port", "0"]
    environment = os.environ | {"TMPDIR": str(folder)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        with httpx.Client(base_url=address, timeout=PATIENCE) as client:
            yield process, client
    finally:
        process.kill()
        process.wait()


def memory(process: subprocess.Popen) -> int:
    """MiB of the server itself."""
    return psutil.Process(process.pid).memory_info().rss // 2**20


def send(page: httpx.Client, *files: tuple[str, bytes], **headers: str) -> int:
    """Returns the status."""
    return page.post("/api/answer", files=[("files", file) for file in files], headers=headers).status_code


def uploads(page: httpx.Client, found: Iterator[list[tuple[str, bytes]]]) -> Counter:
    """Statuses of the uploads, sent in turn."""
    statuses = Counter()
    for files in found:
        status = send(page, *files)
        statuses[status] += 1
        if status == 500:
            print("500:", [name for name, _ in files], flush=True)
    return statuses


def hostile() -> Iterator[list[tuple[str, bytes]]]:
    """Malicious archives, names and images."""
    yield [("deep.zip", fakes.zipped({"/".join("d" * 1000) + "/a.png": GOOD}))]
    yield [("long.zip", fakes.zipped({"/".join(["d" * 255] * 20): GOOD}))]
    yield [("bomb.zip", fakes.zipped({"zeros.nii": bytes(2**28)}))]
    yield [("slip.zip", fakes.zipped({"../../a.png": GOOD}))]
    yield [("cjk.zip", fakes.zipped({"瘤" * 300 + ".png": GOOD}))]
    yield [
        ("list.zip", fakes.zipped({"cases.csv": b"case,t1,t1ce,t2,flair\na,/etc/passwd,../x,/dev/zero,/dev/stdin\n"}))
    ]
    yield [("figshare.mat", b"\x89HDF\r\n\x1a\n" + bytes(2**12))]
    for name in ("瘤" * 200 + ".png", "../../../etc/passwd", "NUL", "\x00", "a\nb.png", "." * 300, "<img src=x>.png"):
        yield [(name, GOOD)]
    yield [(f"{number}.png", GOOD) for number in range(17)]
    generator = random.Random(1)
    for number in range(BITS):
        content = bytearray(GOOD)
        for _ in range(generator.randint(1, 30)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        yield [(f"{number}.png", bytes(content[: generator.randint(1, len(content))]))]


def below(folders: list[str]) -> Iterator[list[tuple[str, bytes]]]:
    """Every file by itself, and the files of each folder together."""
    for root in map(Path, folders):
        for path in sorted(root.rglob("*")):
            if path.is_file():
                yield [(path.name, path.read_bytes())]
            elif path.is_dir():
                files = {f"{one.relative_to(path)}": one.read_bytes() for one in path.rglob("*") if one.is_file()}
                if files:
                    yield [("folder.zip", fakes.zipped(files))]


def raw(page: httpx.Client, content: bytes, whole: bool = True) -> int | None:
    """Status of a raw request, or None if the connection was closed; sending stops early unless `whole`."""
    place = urlsplit(str(page.base_url))
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        try:
            connection.sendall(content)
            if not whole:
                connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(64)
        except OSError:
            return None
    found = re.match(rb"HTTP/1.1 (\d+)", answer)
    return int(found[1]) if found else None


def rubbish(page: httpx.Client) -> Counter:
    """Random bytes, and nearly valid requests."""
    generator = random.Random(2)
    head = b"POST /api/answer HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    statuses = Counter()
    for number in range(RUBBISH):
        noise = generator.randbytes(generator.randrange(200))
        form = (
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="'
            + noise
            + b'"\r\n\r\n'
            + noise
            + b"\r\n--b--"
        )
        body = [noise, form, form[: generator.randrange(len(form))]][number % 3]
        start = [b"", head, head][number % 3]
        length = f"Content-Length: {len(body)}\r\n\r\n".encode() if start else b""
        statuses[raw(page, start + length + body, whole=bool(start))] += 1
    return statuses


def leaving(page: httpx.Client) -> Counter:
    """Clients that disconnect before the answer, or before the upload is complete."""
    statuses = Counter()
    for number in range(LEAVING):
        try:
            seconds = 0.02 * (number + 1)
            files = [("files", ("a.png", GOOD)), ("files", ("b.bin", bytes(2**22)))][: 1 + number % 2]
            statuses[page.post("/api/answer", files=files, timeout=seconds).status_code] += 1
        except httpx.TimeoutException:
            statuses[None] += 1
    return statuses


def at_once(page: httpx.Client) -> Counter:
    """Answered one by one; the others are refused while the queue is full."""
    address = str(page.base_url)

    def one(_: int) -> int:
        with httpx.Client(base_url=address, timeout=PATIENCE) as client:
            return send(client, ("a.png", GOOD))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return Counter(threads.map(one, range(AT_ONCE)))


if __name__ == "__main__":
    main()
