"""A page that somebody looks at: what they do there, and what must not happen meanwhile."""

import base64
import re
import time

SECONDS = 60
DROP = """(files) => {
  const carried = new DataTransfer();
  for (const [name, text] of files) {
    const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
    carried.items.add(new File([bytes], name));
  }
  for (const type of ["dragenter", "dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


class Visit:
    """A page that somebody looks at, and all that went wrong on it."""

    def __init__(self, context, url):
        self.url = url
        self.page = context.new_page()
        self.page.set_default_timeout(SECONDS * 1000)
        self.errors, self.requests = [], []
        self._forgiven = []
        self.page.on(
            "console", lambda each: each.type in ("error", "warning") and self.errors.append(each.text)
        )
        self.page.on("pageerror", lambda each: self.errors.append(str(each)))
        self.page.on("request", lambda each: self.requests.append(each.url))

    def go(self, address=""):
        self.page.goto(f"{self.url}/{address}")
        return self.page

    def forgive(self, pattern):
        """What a test provokes: browsers report every refusal as an error of the page."""
        self._forgiven.append(re.compile(pattern))

    def check(self):
        left = [each for each in self.errors if not any(known.search(each) for known in self._forgiven)]
        assert not left, left
        outside = [each for each in self.requests if not each.startswith((f"{self.url}/", "blob:"))]
        assert not outside, outside


def drop(page, *paths):
    """Drop files on the page, as from a folder."""
    page.evaluate(DROP, [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths])


def eventually(holds, seconds=SECONDS, why=""):
    """Wait until it does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, why or "it did not happen"
        time.sleep(0.05)
