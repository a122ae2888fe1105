"""Public cards, of people and of kits: whom to seal to, and whose signatures to believe."""

from typing import Literal

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import Recipient
from appliance.errors import BadFile, BadInput
from appliance.records.files import Fact
from appliance.records.signing import Verifier

Role = Literal["service", "practitioner"]


class Card(Fact, frozen=True, tag="card/v1"):
    """The public half of somebody's keys: whom to seal to, and whose signatures to believe.

    `name` is the name of the signing key, `<role>-<id>`; it says nothing of the person.
    """

    role: Role
    name: str
    recipient: str
    verifier: str

    def __post_init__(self) -> None:
        parse_recipient(self.recipient)
        if self.verifying_key().name != self.name or role_of(self.name) != self.role:
            raise BadFile("The names on this card do not fit each other.")

    def sealing_key(self) -> Recipient:
        return parse_recipient(self.recipient)

    def verifying_key(self) -> Verifier:
        return Verifier.parse(self.verifier)


class KitCard(Fact, frozen=True, kw_only=True, tag="kit/v1"):
    """A kit's public half, `kit/kit.json`: its id, and the key that its films are signed with."""

    id: str
    verifier: str

    def verifying_key(self) -> Verifier:
        """Raises BadFile."""
        return Verifier.parse(self.verifier)


def sealing_keys(like: Recipient, *cards: Card) -> list[Recipient]:
    """Whom something is sealed to, all of them of the same kind as `like`: the service's own key,
    or a case's, which was made like it. Whatever is sealed to a person goes through here.

    A key of another kind would be the way in: where the service chose post-quantum, one X25519
    card were enough to open everything in thirty years. Raises BadInput.
    """
    keys = [card.sealing_key() for card in cards]
    for card, key in zip(cards, keys, strict=True):
        if key.kind != like.kind:
            raise BadInput(
                "The key of %(name)s is not of the type that this service chose: post-quantum and "
                "X25519 keys do not mix, for the weaker would decide.",
                "They make one that is: attune keygen --role %(role)s%(option)s",
                name=card.name,
                role=card.role,
                option=" --x25519" if like.kind == "x25519" else "",
            )
    return keys


def role_of(name: str) -> Role:
    """Whose key this is, by its name. Raises BadFile."""
    prefix = name.partition("-")[0]
    if prefix == "service":
        return "service"
    if prefix == "practitioner":
        return "practitioner"
    raise BadFile("A key's name begins with service- or practitioner-.")
