"""The kit's page as a person without JavaScript uses it: pages, forms, cookies."""

import http.client
import http.cookiejar
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path

from appliance.errors import NotPossible
from appliance.records.files import new_id


class Form:
    """One form of a page: where it goes and what stands in it already."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: dict[str, list[str]] = {}

    def add(self, name: str, value: str) -> None:
        self.fields.setdefault(name, []).append(value)


class Forms(HTMLParser):
    """Reads a page's forms as a browser without JavaScript would send them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._inside: Form | None = None
        self._select: str = ""
        self._area: str = ""
        self._text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = Form(have.get("action", ""))
            self.found.append(self._inside)
        if self._inside is None:
            return
        name, value = have.get("name", ""), have.get("value", "")
        if tag == "input" and name and have.get("type") not in ("file", "submit", "button"):
            if have.get("type") not in ("checkbox", "radio") or "checked" in have:
                self._inside.add(name, value)
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in have:
            self._inside.add(self._select, value)
        elif tag == "textarea":
            self._area, self._text = name, ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area and self._inside:
            self._inside.add(self._area, self._text.removeprefix("\n"))
            self._area = ""
        elif tag == "select":
            self._select = ""
        elif tag == "form":
            self._inside = None


class Answer:
    """What the page answered: status, address after redirects, headers, body."""

    def __init__(self, status: int, url: str, headers: Message, body: bytes) -> None:
        self.status = status
        self.path = urllib.parse.urlsplit(url).path
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class Page:
    """The kit's page at `address`, by the certificate that the kit made."""

    def __init__(self, address: str, certificate: Path) -> None:
        self.address = address
        context = ssl.create_default_context(cafile=str(certificate))
        self._open = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        ).open

    def answers(self) -> bool | None:
        """True once the page is there, None before."""
        try:
            self.get("/")
        except (OSError, http.client.HTTPException):
            return None
        return True

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        """Ask for a page, or a part of it with a Range header. Refusals are answers, too."""
        request = urllib.request.Request(
            self.address + path, headers=dict(headers or {}), method=method
        )
        return self._send(request)

    def submit(
        self,
        path: str,
        fields: Mapping[str, str | Sequence[str]],
        *,
        form: str = "",
        files: Mapping[str, bytes] | None = None,
    ) -> Answer:
        """Fill in the form of the page at `path` whose action is `form` (`path` itself by default).

        Fields not named keep what stands in them. Raises NotPossible if there is no such form.
        """
        shown = self.get(path)
        action = form or path
        forms = Forms(shown.text).found
        found = next((one for one in forms if (one.action or shown.path) == action), None)
        if found is None:
            raise NotPossible(f"The page {path} ({shown.status}) has no form for {action}.")
        pairs: list[tuple[str, str]] = []
        for name, values in {**found.fields, **fields}.items():
            pairs += [(name, value) for value in ([values] if isinstance(values, str) else values)]
        body, kind = _multipart(pairs, files or {})
        headers = {"Content-Type": kind, "Referer": self.address + path, "Origin": self.address}
        return self._send(urllib.request.Request(self.address + action, body, headers))

    def send(self, path: str, fields: Mapping[str, str | Sequence[str]], form: str) -> Answer:
        """`submit`, with the action as the third word."""
        return self.submit(path, fields, form=form)

    def _send(self, request: urllib.request.Request) -> Answer:
        try:
            with self._open(request, timeout=60) as answer:
                return Answer(answer.status, answer.url, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.url or "", error.headers, error.read())


def _multipart(pairs: Sequence[tuple[str, str]], files: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A form as browsers send one that has files in it (RFC 7578): the body and its type."""
    boundary = f"form-{new_id()}"
    parts = [
        *((f'name="{name}"', value.encode()) for name, value in pairs),
        *((f'name="{name}"; filename="file"', data) for name, data in files.items()),
    ]
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n"
        for head, data in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
