"""What is said of a moment: the fields of its form, and the practitioner's list of principles.

The list is the practitioner's own and sealed to their key: they may word it as they were taught.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from flask import request

from appliance.age.sealing import seal
from appliance.age.unsealing import unseal
from appliance.casework.clips import Principles, Turn, Words
from appliance.errors import BadInput, KitError
from appliance.records.files import from_json, lines, read_plain, save, to_json
from appliance.vault.cases import Goals, OpenCase
from web_ui.parts import Parts
from web_ui.session.unlocked import Practitioner
from web_ui.wording.language import _

TEXT_LENGTH = 500
PRINCIPLE_LENGTH = 80
MOST_PRINCIPLES = 30


def turns_in_words() -> Mapping[Turn, str]:
    """Each turn as it is chosen, in the order in which they follow each other."""
    return {
        "initiative": _("Initiative: the child starts something"),
        "reception": _("Reception: the adult notices, and shows it"),
        "response": _("Response: the adult answers"),
    }


def first_principles() -> Principles:
    """The list that everybody begins with."""
    return Principles(
        principles=(
            _("Being attentive"),
            _("Encouraging initiatives"),
            _("Receiving initiatives"),
            _("Developing attuned interactions"),
            _("Guiding"),
            _("Deepening discussion"),
        )
    )


def words_sent(case: OpenCase, before: Words, principles: Principles) -> Words:
    """The words of the form that was sent. A field that is not in it stays as it was `before`.

    Raises BadInput, in words, for what is too long or was not there to choose.
    """

    def text(name: str, known: str) -> str:
        found = request.form.get(name, known).strip()
        if len(found) > TEXT_LENGTH:
            raise BadInput(_("Use %(count)s characters or fewer", count=TEXT_LENGTH))
        return found

    goals = [goal.id for goal in (case.read(Goals) or Goals(goals=())).goals]
    words = Words(
        note=text("note", before.note),
        question=text("question", before.question),
        goal=text("goal", before.goal),
        principle=text("principle", before.principle),
        turn=cast(Turn, text("turn", before.turn)),
    )
    if (
        words.goal not in ("", before.goal, *goals)
        or words.principle not in ("", before.principle, *principles.principles)
        or words.turn not in ("", *turns_in_words())
    ):
        raise BadInput(_("Select one of the options"), _("Select again, then save."))
    return words


def principles_of(parts: Parts, holder: Practitioner) -> Principles:
    """The practitioner's list, or the first one until they change it."""
    try:
        sealed = read_plain(_path(parts, holder))
        return from_json(unseal(sealed, [holder.keys.identity]), Principles)
    except (FileNotFoundError, KitError):
        # Not changed yet; or damaged, which must not keep anybody from their films.
        return first_principles()


def keep_principles(parts: Parts, holder: Practitioner, text: str) -> None:
    """Take a list, a principle a line. Raises BadInput, in words; no line brings back the first."""
    # A browser ends the lines of what was typed with CR LF.
    sent = (line.strip() for line in lines(text.replace("\r\n", "\n")))
    listed = tuple(dict.fromkeys(line for line in sent if line))
    if any(letter in line for line in listed for letter in "\r\v\f"):
        # The browser would send another text back when it is chosen.
        raise BadInput(_("One line of the list is cut off. Enter that line again."))
    if len(listed) > MOST_PRINCIPLES or any(len(line) > PRINCIPLE_LENGTH for line in listed):
        raise BadInput(
            _(
                "The list can have %(lines)s lines, with up to %(count)s characters in each",
                lines=MOST_PRINCIPLES,
                count=PRINCIPLE_LENGTH,
            )
        )
    kept = Principles(principles=listed) if listed else first_principles()
    save(_path(parts, holder), seal(to_json(kept), [holder.keys.identity.recipient]))


def _path(parts: Parts, holder: Practitioner) -> Path:
    return parts.home.keys.of(holder.card.name).principles
