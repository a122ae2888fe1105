"""Closing a case for good: the signed order first, then its key, then all that the key opened.

Each step can be done again: a pulled plug only delays. What leads to it is `casework.withdrawal`.
"""

import re
from contextlib import suppress
from datetime import datetime
from typing import Literal

import msgspec

from appliance.errors import BadFile
from appliance.protocol.case_record import CaseRecord, held, hold_notice, ordered, withdrawal_note
from appliance.protocol.hold_reasons import WHY_NAME
from appliance.protocol.orders import CopiesOut, Withdrawal
from appliance.protocol.retention import KEEP_NAME
from appliance.protocol.teams import TEAM_NAME
from appliance.records.files import (
    CaseFolder,
    destroy,
    is_there,
    load_fact,
    names_in,
    new_id,
    paths_in,
    remove_tree,
    save,
    save_fact,
    sync_directory,
)
from appliance.records.signing import sign_fact
from appliance.vault.keys import PrivateKeys

_KEY_FILE = re.compile(r"identity-[^/]*\.age|\.identity-.*")
"""A key of a case; those that a power cut left half-written begin with a dot."""


def withdraw(
    directory: CaseFolder,
    keys: PrivateKeys,
    kit: str,
    at: datetime,
    copies: tuple[CopiesOut, ...] = (),
    why: Literal["family", "retention"] = "family",
) -> Withdrawal:
    """Close a case for good. Safe to call again after a pulled plug at any step.

    First the signed order, so that a half-done withdrawal is finished and never forgotten; then the
    key; then what the key opened. `copies` are those that nothing here can reach. With a hold
    everything ends, but nothing is removed; once that is lifted, call it again.
    """
    until = None
    if is_there(directory.hold):
        notice = hold_notice(directory)
        until = notice.until if notice else at
    order = Withdrawal(
        id=new_id(), case=directory.name, kit=kit, at=at, why=why, copies=copies, held=until
    )
    before = None
    with suppress(BadFile):
        before = withdrawal_note(directory)
    if before is not None and before[0].held and not until:
        # What was taken back stays taken back since then; now it may be removed, too.
        order = msgspec.structs.replace(before[0], id=order.id, held=None)
        before = None
    if before is None:
        save(directory.withdrawal, sign_fact(keys.signer, order).encode())
    finish_withdrawal(directory)
    found = withdrawal_note(directory)
    if found is None:
        raise BadFile("The order of the withdrawal could not be read back.")
    return found[0]


def finish_withdrawal(directory: CaseFolder) -> None:
    """Carry out what a withdrawal orders here: key first, then record, then all it opened."""
    keep = held(directory)
    if not keep:
        for key_file in paths_in(directory, _KEY_FILE):
            destroy(key_file)
        # Until when it was kept, who worked with it and why it was held: nobody needs to know.
        days, people = paths_in(directory, KEEP_NAME), paths_in(directory, TEAM_NAME)
        for word in (*days, *people, *paths_in(directory.lifted, WHY_NAME)):
            word.unlink(missing_ok=True)
    record = None
    # One that is damaged says nothing any more; the order stands beside it.
    with suppress(BadFile):
        record = load_fact(directory.record, CaseRecord)
    if record is not None and record.state != "withdrawn":
        save_fact(directory.record, msgspec.structs.replace(record, state="withdrawn"))
    for part in (directory / name for name in names_in(directory)):
        if part.is_symlink() or not part.is_dir():
            continue
        # The orders for single films say that they were taken back, and stay. What was shared is a
        # copy: sharing ends at once, and a hold loses nothing by it.
        if part == directory.shares or (not keep and part not in ordered(directory)):
            remove_tree(part)
    sync_directory(directory)
