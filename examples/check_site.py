"""Every page of the site in a headless Chromium: python -m examples.check_site [--site runs/site] [--shots FOLDER]

At a phone's width (360 pixels) and at a desk's (1280): no error on the console, no request that fails or leaves the
folder, no picture missing, nothing wider than the screen, no text under 11 pixels. --shots keeps a picture of each.
Needs Debian's package `chromium`. It is driven through a pipe, in the DevTools protocol: no server, no further package.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WIDTHS = {"phone": 360, "desk": 1280}
LOOK = """(() => {
  const wide = document.documentElement.scrollWidth, found = [];
  for (const image of document.images)
    if (!image.complete || !image.naturalWidth || !image.alt) found.push("picture " + image.getAttribute("src"));
  if (wide > innerWidth) found.push("page is " + wide + " wide on " + innerWidth);
  for (const e of document.querySelectorAll("p, li, td, pre, summary, a, span"))
    if (e.textContent.trim() && parseFloat(getComputedStyle(e).fontSize) < 11) { found.push("small text"); break }
  if (!document.querySelector("h1")) found.push("no heading");
  for (const a of document.links)
    if (a.protocol !== "file:") found.push("link to " + a.href);
  return JSON.stringify({found, height: document.documentElement.scrollHeight});
})()"""


class Browser:
    """A headless Chromium; `call` sends a command of the DevTools protocol and waits for its answer."""

    def __init__(self, program: str) -> None:
        self.profile = tempfile.mkdtemp()
        to_browser, self.out = os.pipe()
        self.inbox, from_browser = os.pipe()

        def plumb() -> None:  # the protocol speaks on descriptors 3 and 4
            a, b = os.dup(to_browser), os.dup(from_browser)
            os.dup2(a, 3)
            os.dup2(b, 4)

        flags = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
                 "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                 f"--user-data-dir={self.profile}"]
        self.process = subprocess.Popen([program, *flags], preexec_fn=plumb, pass_fds=(3, 4, to_browser, from_browser),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.number, self.events = b"", 0, []  # type: bytes, int, list[dict[str, Any]]
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if hasattr(self, "session"):
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def wait(self, method: str) -> None:
        """Until an event has come."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            chunk = os.read(self.inbox, 1 << 16)
            if not chunk:
                raise RuntimeError("the browser has ended")
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        os.close(self.out)
        os.close(self.inbox)
        shutil.rmtree(self.profile, ignore_errors=True)


def look(browser: Browser, page: Path, width: int, shot: Path | None) -> list[str]:
    """What is wrong with a page at a width."""
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    browser.events.clear()
    browser.call("Page.navigate", url=page.resolve().as_uri())
    browser.wait("Page.loadEventFired")
    answer = json.loads(browser.call("Runtime.evaluate", expression=LOOK)["result"]["value"])
    found: list[str] = answer["found"]
    for event in browser.events:
        name, about = event.get("method"), event.get("params", {})
        if name in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            found.append(f"console: {json.dumps(about)[:200]}")
        if name == "Network.loadingFailed":
            found.append(f"not loaded: {about['errorText']}")
        if name == "Network.requestWillBeSent":
            url = about["request"]["url"]
            if not url.startswith(("data:", page.parent.resolve().as_uri())):
                found.append(f"request to {url}")
    if shot:
        clip = {"x": 0, "y": 0, "width": width, "height": min(answer["height"], 6000), "scale": 1}
        data = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        shot.parent.mkdir(parents=True, exist_ok=True)
        shot.write_bytes(base64.b64decode(data))
    return found


def main(site: Path, shots: Path | None) -> int:
    """Look at every page; the number of things that are wrong."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        raise SystemExit("no chromium found: apt-get install chromium")
    browser, wrong = Browser(program), 0
    try:
        pages = sorted(site.glob("*.html"))
        for page in pages:
            for name, width in WIDTHS.items():
                found = look(browser, page, width, shots / f"{page.stem}-{name}.png" if shots else None)
                wrong += len(found)
                for problem in found:
                    print(f"{page.name}, {name}: {problem}")
    finally:
        browser.close()
    print(f"{len(pages)} pages at {len(WIDTHS)} widths: {wrong or 'nothing'} wrong")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=Path("runs/site"))
    parser.add_argument("--shots", type=Path)
    arguments = parser.parse_args()
    sys.exit(1 if main(arguments.site, arguments.shots) else 0)
