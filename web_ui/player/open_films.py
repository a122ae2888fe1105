"""The films and clips that are open to be watched.

They stay open while the page is unlocked, as a player asks for many small parts. Closing a case
ends what is still being read from it.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from appliance import memory
from appliance.age.unsealing import Identity, SealedReader, unseal
from appliance.casework.clips import Clip, Still
from appliance.casework.consent import Consent, may_be_watched, taken_back
from appliance.errors import BadFile, CaseWithdrawn, KitError, NoMatch, NotOpened
from appliance.film.joined import JoinedFilm
from appliance.film.manifest import EndReason, FilmKind, FilmStarted, Manifest, read_manifest
from appliance.film.recording import OpenedFilm, open_recording
from appliance.protocol.case_record import is_film_withdrawn
from appliance.protocol.emptying import is_emptied
from appliance.records.files import ID, Home, checked_id, new_id, open_plain, paths_in, read_plain
from appliance.records.reading import Readable
from appliance.records.signing import Verifier
from appliance.vault.cases import OpenCase

_KEPT_OPEN = 6


class Playable(Readable, Protocol):
    """Something that plays. `etag` changes when a byte of it would."""

    @property
    def etag(self) -> str: ...


@dataclass(frozen=True)
class ListedFilm:
    """A film by its manifest; nothing is opened for this."""

    id: str
    started: FilmStarted
    seconds: float
    segments: int
    why: EndReason | None
    """None: it is being made just now, or the power went and the recorder has not looked yet."""
    emptied: bool = False
    """It is at the service, and only its manifest is still here."""


class OpenedClip(SealedReader):
    """A sealed clip that plays."""

    def __init__(self, path: Path, identities: Sequence[Identity]) -> None:
        file = open_plain(path)
        try:
            super().__init__(file, identities)
        except BaseException:
            file.close()
            raise
        self.etag = hashlib.sha256(f"{path.name} {self.size}".encode()).hexdigest()[:32]


class Viewing:
    """The films and clips that one practitioner has open. Any thread."""

    def __init__(
        self,
        home: Home,
        kit: Sequence[Verifier],
        practitioners: Sequence[Verifier],
        now: Callable[[], datetime],
    ) -> None:
        """`kit` and `practitioners`: whose manifests are believed, of films made here and of
        imported films. `now`: against which a consent is held."""
        self._home = home
        self._kit = kit
        self._practitioners = practitioners
        self._now = now
        self._consents: dict[tuple[str, tuple[str, ...]], Consent] = {}
        self._cut_from: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, str, str], OpenedFilm | OpenedClip] = OrderedDict()
        self._lent: dict[tuple[str, str, str], OpenedFilm] = {}
        self._case_of: dict[str, str] = {}
        self._kinds: dict[str, FilmKind] = {}

    def to_hand_on(self, case: OpenCase) -> dict[str, FilmStarted]:
        """The start of each film whose moments may be copied or shared: those that were not taken
        back. Under a hold such a film is still here."""
        return {
            film.id: film.started
            for film in self.films_of(case.id)
            if not is_film_withdrawn(case.directory, film.id)
        }

    def films_of(self, case: str) -> list[ListedFilm]:
        """The films of a case whose manifests can be read, the newest first."""
        listed = []
        for directory in (self._home.recordings, self._brought(case)):
            for name in (path.name for path in paths_in(directory, ID)):
                if self._case_of.get(name, case) != case:
                    continue
                with suppress(KitError):
                    manifest = self._manifest(directory / name)
                    # Its first line never changes, so a film of another case is read only once.
                    self._case_of[name] = manifest.started.case
                    if manifest.started.case == case:
                        emptied = self._emptied(directory / name)
                        listed.append(_listed(name, manifest, emptied))
        return sorted(listed, key=lambda film: film.started.started, reverse=True)

    def film(self, case: OpenCase, name: str) -> OpenedFilm:
        """A film of this case. Raises NoMatch if there is none, CaseWithdrawn or NotOpened if it is
        not agreed to any more, or not on this kit, and what opening raises."""
        self._check_agreed(case, name)
        self._check_here(case, name)
        try:
            written = (self._directory(case, name) / "manifest").lstat()
        except FileNotFoundError:
            raise NoMatch("This family has no such film.") from None
        # A film that was cut short gets its end later; what was opened before is then out of date.
        key = (case.id, name, f"{written.st_mtime_ns} {written.st_size}")
        with self._lock:
            found = self._open.get(key)
            if not isinstance(found, OpenedFilm):
                found = self._opened(case, name)
                self._keep(key, found)
            self._open.move_to_end(key)
            return found

    @contextmanager
    def lend(self, case: OpenCase, name: str) -> Iterator[JoinedFilm]:
        """A film opened for a longer piece of work; it stays open while others are played.

        Raises as `film`; closing its case closes it too.
        """
        self._check_agreed(case, name)
        self._check_here(case, name)
        key = (case.id, name, new_id())
        with closing(self._opened(case, name)) as opened:
            with self._lock:
                self._lent[key] = opened
            try:
                yield opened.film
            finally:
                with self._lock:
                    self._lent.pop(key, None)

    def clip(self, case: OpenCase, name: str) -> OpenedClip:
        """A clip of this case. Raises as `film`."""
        self._check_agreed(case, self._film_of(case, name))
        key = (case.id, name, "clip")
        with self._lock:
            found = self._open.get(key)
            if not isinstance(found, OpenedClip):
                kept = case.read(Clip, name)
                if kept is None or not (case.clips / kept.file).exists():
                    raise NoMatch("This family has no such clip.")
                found = OpenedClip(case.clips / kept.file, case.identities)
                self._keep(key, found)
            self._open.move_to_end(key)
            return found

    def received(self, case: str, path: Path, keys: Sequence[Identity]) -> OpenedClip:
        """A clip that was shared with whoever has these keys; whether it may still be seen was
        asked before. Raises NoMatch if it is not here."""
        key = (case, f"{path.parent.name}/{path.name}", "received")
        with self._lock:
            found = self._open.get(key)
            if not isinstance(found, OpenedClip):
                if not path.exists():
                    raise NoMatch("There is no such clip in this share.")
                found = OpenedClip(path, keys)
                self._keep(key, found)
            self._open.move_to_end(key)
            return found

    def kept_picture(self, case: OpenCase, name: str) -> bytes:
        """A kept picture of this case, as a JPEG. Raises NoMatch if there is none."""
        kept = case.read(Still, name)
        if kept is None or not (case.clips / kept.file).exists():
            raise NoMatch("This family has no such still.")
        self._check_agreed(case, kept.recording)
        return unseal(read_plain(case.clips / kept.file), case.identities)

    def close(self, case: str = "") -> None:
        """Close what is open of one case, or everything. Whoever is reading gets no more."""
        with self._lock:
            for key in [key for key in self._open if case in ("", key[0])]:
                self._open.pop(key).close()
            for key in [key for key in self._lent if case in ("", key[0])]:
                self._lent.pop(key).close()

    def _check_agreed(self, case: OpenCase, film: str) -> None:
        """Asked for every piece that is sent. Raises CaseWithdrawn, NotOpened."""
        consent = self._consent(case)
        if is_film_withdrawn(case.directory, film):
            raise CaseWithdrawn("The family has withdrawn this film.")
        kind = self._kind(case, film)
        if may_be_watched(consent, self._now(), kind):
            return
        if consent and taken_back(consent, kind):
            raise CaseWithdrawn(
                "The family has withdrawn consent to filming, so you cannot watch their films."
            )
        raise NotOpened(
            "The family's consent has ended, so you cannot watch their films.",
            "Talk it through again and record a new consent.",
        )

    def _check_here(self, case: OpenCase, film: str) -> None:
        """Raises NotOpened for a film that has left the card."""
        if self._emptied(self._directory(case, film)):
            raise NotOpened(
                "Your service has this film. It is no longer on this kit.",
                "Its clips are still here. To watch the film, ask your service.",
            )

    def _emptied(self, directory: Path) -> bool:
        here = directory.parent == self._home.recordings
        return here and is_emptied(self._home, directory.name)

    def _kind(self, case: OpenCase, film: str) -> FilmKind:
        """The kind of film; read once, as it never changes. If it cannot be read, it counts as the
        kind that the most withdrawals close."""
        if film not in self._kinds:
            with suppress(KitError, OSError):
                self._kinds[film] = self._manifest(self._directory(case, film)).started.kind
        return self._kinds.get(film, "review")

    def _consent(self, case: OpenCase) -> Consent | None:
        """The consent in force, opened once: each piece of a film asks for it."""
        said = case.id, case.files(Consent)
        if said not in self._consents:
            with suppress(BadFile):
                found = case.read(Consent)
                if found is not None:
                    self._consents[said] = found
        return self._consents.get(said)

    def _film_of(self, case: OpenCase, clip: str) -> str:
        if (case.id, clip) not in self._cut_from:
            kept = case.read(Clip, clip)
            if kept is None:
                raise NoMatch("This family has no such clip.")
            self._cut_from[case.id, clip] = kept.recording
        return self._cut_from[case.id, clip]

    def _opened(self, case: OpenCase, name: str) -> OpenedFilm:
        directory = self._directory(case, name)
        manifest = self._manifest(directory)
        if (manifest.started.case, manifest.started.recording) != (case.id, name):
            raise NoMatch("This family has no such film.")
        opened = open_recording(
            directory,
            case.identities,
            self._believed(directory),
            derived=case.directory.derived / name,
            menders=case.verifiers,
        )
        # The indexes of a long film are hundreds of thousands of numbers, until they are joined.
        memory.give_back()
        return opened

    def _brought(self, case: str) -> Path:
        """Where the films are that were made elsewhere and imported into a case."""
        return self._home.case(case).imports

    def _directory(self, case: OpenCase, name: str) -> Path:
        brought = self._brought(case.id) / checked_id(name)
        return brought if brought.is_dir() else self._home.recording(name)

    def _believed(self, directory: Path) -> Sequence[Verifier]:
        """Whose signature counts: the kit's, or a practitioner's on an imported film."""
        return self._kit if directory.parent == self._home.recordings else self._practitioners

    def _manifest(self, directory: Path) -> Manifest:
        return read_manifest(directory, self._believed(directory))

    def _keep(self, key: tuple[str, str, str], opened: OpenedFilm | OpenedClip) -> None:
        self._open[key] = opened
        while len(self._open) > _KEPT_OPEN:
            self._open.popitem(last=False)[1].close()


def _listed(name: str, manifest: Manifest, emptied: bool) -> ListedFilm:
    return ListedFilm(
        id=name,
        started=manifest.started,
        seconds=sum(segment.seconds for segment in manifest.segments),
        segments=len(manifest.segments),
        why=manifest.ended.why if manifest.ended else None,
        emptied=emptied,
    )
