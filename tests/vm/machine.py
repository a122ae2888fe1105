"""A kit in a virtual machine, whose plug can be pulled. See tests/rig/vm.sh.

QEMU emulates it (TCG): a processor that is some twenty times slower than this one, so nothing here
says how fast a kit is. What its disk was given when the plug is pulled, and no more, is there
afterwards: QEMU is killed where it stands.
"""

import json
import os
import queue
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

RIG = Path(os.environ.get("ATTUNE_RIG", "/var/cache/attune-rig"))
LEAN, FULL = RIG / "vm", RIG / "vm-full"
"""What tests/rig/make-vm.sh made."""
PROCESSOR = "max,-erms,-fsrm,-la57,-pku,-smap,-smep,-umip"
"""Without what makes an emulated one slower and nothing here better."""
BOOTS_WITHIN = 400.0
"""Seconds. It takes 30 to 60 where nothing else runs."""
ANSWERS_WITHIN = 400.0
STARTS = 3
"""How often a machine is started whose kernel falls over itself: emulated processors that run side
by side do not always see at once what the kernel writes anew in its own code. A Pi's do."""


class Machine:
    """A machine with a disk of its own in `directory`; it runs from `start` to `pull_the_plug`.

    The disk is a new one, or a copy of another machine's with every moment that was kept there.
    """

    def __init__(self, directory: Path, like: "Machine | None" = None, image: Path = LEAN) -> None:
        self.directory = directory
        self.disk = directory / "disk.qcow2"
        self._qemu: subprocess.Popen[bytes] | None = None
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        directory.mkdir(parents=True, exist_ok=True)
        image = like.directory if like else image
        for name in ("vmlinuz", "initrd", "root.img"):
            # Its own, for it may be made anew meanwhile.
            try:
                (directory / name).hardlink_to(image / name)
            except OSError:
                shutil.copy(image / name, directory / name)
        if like:
            shutil.copy(like.disk, self.disk)
            return
        subprocess.run(
            [
                *("qemu-img", "create", "-q", "-f", "qcow2"),
                *("-F", "raw", "-b", "root.img", str(self.disk)),
            ],
            check=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.pull_the_plug()

    def start(self, moment: str = "") -> None:
        """Boot, or go on from a moment that was kept."""
        for left in reversed(range(STARTS)):
            self._start(moment)
            if moment:
                # QEMU takes no orders before it has loaded the moment. Until then the disk holds
                # what came after it, and that is what a plug pulled too early would leave there.
                assert self._order("query-status")["running"]
                return
            try:
                assert self.answer(BOOTS_WITHIN) == "here"
                return
            except AssertionError as error:
                if not left or "Kernel panic" not in str(error):
                    raise
                # For the disk it is one more pulled plug.
                self.pull_the_plug()

    def _start(self, moment: str) -> None:
        for name in ("console", "numbers"):
            (self.directory / name).unlink(missing_ok=True)
        # Without chance in where programs lie, QEMU need not translate them anew for each process.
        kernel = "console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable norandmaps"
        self._said = queue.SimpleQueue()
        ours, theirs = socket.socketpair()
        ours.settimeout(ANSWERS_WITHIN)
        self._orders = ours.makefile("rw")
        with ours, theirs, open(self.directory / "qemu.log", "wb") as log:
            self._qemu = subprocess.Popen(
                [
                    # A visit must keep up with its camera; a start may take its time.
                    *("nice", "-n", "0" if moment else "5"),
                    *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"),
                    *("-accel", "tcg", "-cpu", PROCESSOR, "-smp", "2", "-m", "1280"),
                    *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
                    *("-kernel", "vmlinuz", "-initrd", "initrd", "-append", kernel),
                    # What its disk was told to keep must outlive QEMU, but not this computer.
                    *("-drive", f"file={self.disk},if=virtio,format=qcow2,cache=unsafe"),
                    *("-serial", "file:console", "-serial", "stdio", "-serial", "file:numbers"),
                    *("-chardev", f"socket,id=orders,fd={theirs.fileno()}"),
                    *("-mon", "orders,mode=control"),
                    *(("-loadvm", moment) if moment else ()),
                ],
                cwd=self.directory,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        threading.Thread(target=self._listen, args=(self._qemu,), daemon=True).start()
        self._order("qmp_capabilities")

    def keep(self, moment: str) -> None:
        """Keep this moment, memory and disk, to go on from."""
        said = self._order("human-monitor-command", {"command-line": f"savevm {moment}"})
        assert not said, said

    def _order(self, execute: str, arguments: dict[str, str] | None = None) -> Any:
        """Tell QEMU itself something; what it answers once it has done it."""
        order = {"execute": execute, "arguments": arguments or {}}
        self._orders.write(json.dumps(order) + "\n")
        self._orders.flush()
        for line in self._orders:
            answer = json.loads(line)
            assert "error" not in answer, answer
            if "return" in answer:
                return answer["return"]
        raise AssertionError(f"QEMU does not answer to {execute}")

    def say(self, do: str, **what: Any) -> None:
        """Ask for something and do not wait for it."""
        assert self._qemu is not None and self._qemu.stdin is not None
        self._qemu.stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
        self._qemu.stdin.flush()

    def answer(self, seconds: float = ANSWERS_WITHIN) -> Any:
        """The next answer. Raises AssertionError if it is an error, or there is none."""
        try:
            line = self._said.get(timeout=seconds)
        except queue.Empty:
            line = b""
        if not line:
            logs = [self.directory / name for name in ("console", "qemu.log")]
            words = [log.read_text(errors="replace")[-3000:] for log in logs if log.exists()]
            raise AssertionError("\n".join(["the machine says nothing", *words]))
        found = json.loads(line)
        assert "error" not in found, found["error"]
        return found["answer"]

    def ask(self, do: str, **what: Any) -> Any:
        self.say(do, **what)
        return self.answer()

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command in it as root; returns what it said."""
        done = self.ask("run", words=words)
        assert not (check and done["status"]), f"{' '.join(words)}: {done}"
        return str(done["said"])

    def last_number(self) -> int:
        """The number of the last picture that the camera of the last film had; -1 for none."""
        path = self.directory / "numbers"
        told = path.read_bytes().replace(b"\r", b"") if path.exists() else b""
        lines = told[: told.rfind(b"\n") + 1].split()
        return int(lines[-1]) if lines else -1

    def pull_the_plug(self) -> None:
        """Nothing in there runs any more, and nothing more is written."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            assert self._qemu.stdin is not None
            self._qemu.stdin.close()
            self._orders.close()
            self._qemu = None

    def _listen(self, qemu: subprocess.Popen[bytes]) -> None:
        assert qemu.stdout is not None
        said = self._said
        with qemu.stdout as lines:
            for line in lines:
                if line.startswith(b"{"):
                    said.put(line)
        said.put(b"")
