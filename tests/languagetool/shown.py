"""Writes in a LibreOffice that can be seen, asks for a word's menu and takes a picture; for Debian's Python.

Arguments: the address of soffice, the text, a word of it that is wrong, how it is right, and the file of the picture.
It ends with an error unless the menu's first suggestion, once it is taken, makes the text right.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uno  # noqa: F401 - it is what finds the names below
from com.sun.star.awt.PosSize import POSSIZE
from com.sun.star.lang import Locale
from writer import connected

WIDTH, HEIGHT = 1000, 560


def until(true: Callable[[], Any]) -> Any:
    """What is true at last; whoever started this ends it where that never comes."""
    while not (found := true()):
        time.sleep(0.1)
    return found


def windows() -> int:
    """How many windows are to be seen."""
    found = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", ".*"], capture_output=True, check=False)
    return len(found.stdout.split())


def picture(*options: str) -> bytes:
    """The screen."""
    return subprocess.run(["maim", "--hidecursor", *options], capture_output=True, check=True).stdout


def marked() -> bool:
    """Whether a line is drawn under a word: nothing else on the sheet is red."""
    bitmap = picture("--format=bmp", f"--geometry={WIDTH - 100}x{HEIGHT // 2}+30+130")
    pixels = bitmap[int.from_bytes(bitmap[10:14], "little") :]  # rows of a whole number of words, so nothing fills them
    return (0, 0, 255) in zip(pixels[::3], pixels[1::3], pixels[2::3], strict=False)


def still() -> bytes:
    """The screen, once it is drawn."""
    former, now = b"", picture()
    while now != former:
        former, now = now, picture()
    return now


def press(keys: str) -> None:
    """Press keys."""
    subprocess.run(["xdotool", "key", "--clearmodifiers", *keys.split()], check=True)


def write(desktop: Any, text: str) -> Any:
    """A document in which the text stands large enough to be read, looked through by LibreOffice itself."""
    document = desktop.loadComponentFromURL("private:factory/swriter", "_blank", 0, ())
    controller = document.CurrentController
    controller.Frame.ContainerWindow.setPosSize(0, 0, WIDTH, HEIGHT, POSSIZE)
    controller.ViewSettings.ZoomType, controller.ViewSettings.ZoomValue = 3, 150  # by value
    document.Text.setString(text)
    cursor = document.Text.createTextCursor()
    cursor.gotoEnd(True)
    cursor.CharLocale = Locale("en", "US", "")
    until(marked)
    return document


def main() -> None:
    """Write, ask, take the picture, take the suggestion."""
    address, text, wrong, right, file = sys.argv[1:]
    context = connected(address)
    desktop = context.ServiceManager.createInstanceWithContext("com.sun.star.frame.Desktop", context)
    document = write(desktop, text)
    search = document.createSearchDescriptor()
    search.SearchString = wrong
    view = document.CurrentController.ViewCursor
    view.gotoRange(document.findFirst(search).Start, False)
    view.goRight(2, False)
    still()
    before = windows()
    press("shift+F10")
    until(lambda: windows() > before)
    Path(file).write_bytes(still())
    press("Down Return")
    until(lambda: document.Text.getString() == text.replace(wrong, right))
    document.close(True)
    desktop.terminate()


main()
