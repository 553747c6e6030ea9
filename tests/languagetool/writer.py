"""Writes in LibreOffice, has its own grammar checker look at it, and takes what it suggests; for Debian's Python.

Arguments: the address of soffice, and the text. Prints one JSON object: what was marked, and the text afterwards.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import uno
from com.sun.star.beans import PropertyValue
from com.sun.star.connection import NoConnectException
from com.sun.star.lang import Locale

_PROOFREADING = 2
"""com.sun.star.text.TextMarkupType.PROOFREADING."""


def connected(address: str) -> Any:
    """The component context of a soffice that is starting."""
    local = uno.getComponentContext()
    resolver = local.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", local)
    while True:
        try:
            return resolver.resolve(f"uno:{address};urp;StarOffice.ComponentContext")
        except NoConnectException:
            time.sleep(0.1)


def main() -> None:
    """Write, look, take."""
    context = connected(sys.argv[1])
    make = context.ServiceManager.createInstanceWithContext
    desktop = make("com.sun.star.frame.Desktop", context)
    hidden = PropertyValue("Hidden", 0, True, 0)
    document = desktop.loadComponentFromURL("private:factory/swriter", "_blank", 0, (hidden,))
    document.Text.setString(sys.argv[2])
    cursor = document.Text.createTextCursor()
    cursor.gotoEnd(True)
    language = Locale("en", "US", "")
    cursor.CharLocale = language
    manager = make("com.sun.star.linguistic2.LinguServiceManager", context)
    checkers = manager.getConfiguredServices("com.sun.star.linguistic2.Proofreader", language)
    reader = make("com.sun.star.linguistic2.ProofreadingIterator", context)
    paragraph = document.getFlatParagraphIterator(_PROOFREADING, True).getFirstPara()
    text = paragraph.getText()
    found = reader.checkSentenceAtPosition(document, paragraph, text, language, 0, len(text), -1)
    units = text.encode("utf-16-le")  # LibreOffice counts as Java does
    errors = [
        {
            "marked": units[2 * error.nErrorStart : 2 * (error.nErrorStart + error.nErrorLength)].decode("utf-16-le"),
            "suggestions": list(error.aSuggestions),
            "rule": error.aRuleIdentifier,
            "comment": error.aShortComment,
        }
        for error in found.aErrors
    ]
    for error in sorted(found.aErrors, key=lambda error: -error.nErrorStart):
        first = document.getFlatParagraphIterator(_PROOFREADING, True).getFirstPara()  # a changed one is stale
        first.changeText(error.nErrorStart, error.nErrorLength, error.aSuggestions[0], ())
    print(json.dumps({"checkers": list(checkers), "errors": errors, "text": document.Text.getString()}))
    document.close(True)
    desktop.terminate()


if __name__ == "__main__":
    main()
