"""Texts about ruff's default rules, one for each group of rules whose identifiers begin alike."""

from domain.metrics.rule_texts import FindingRules, RuleText

_NOTATION = (
    "The message names the place and usually the replacement. ruff can often make the change: `ruff check --fix`."
)

RULES = FindingRules(
    default=RuleText(
        "Problem that a rule of ruff reports",
        "The code does something that one of ruff's default rules advises against.",
        _NOTATION,
    ),
    texts={
        "invalid-syntax": RuleText(
            "Code that Python cannot parse",
            "The file is not valid Python, so it cannot be imported, and other metrics cannot measure it.",
            "Correct the syntax at the place that the message names.",
        ),
        "ASYNC": RuleText(
            "Blocking or ineffective call in asynchronous code",
            "A call that blocks the event loop stops all other tasks of the program while it runs.",
            "Await an asynchronous counterpart, or move the call to a thread.",
        ),
        "B": RuleText(
            "Code that probably does not do what it seems to",
            "The construct is legal, but it is a frequent source of errors: for example a mutable default value that "
            "all calls share, or a loop variable that a function reads too late.",
            "Rewrite the construct so that it says what is meant; the message names it.",
        ),
        "BLE": RuleText(
            "Handler that catches every exception",
            "A handler for all exceptions also hides errors that nobody expected.",
            "Catch the exceptions that the code can deal with, and let the others pass.",
        ),
        "C4": RuleText(
            "Comprehension or collection that can be written more directly",
            "A needless intermediate collection or call costs time and makes the expression harder to read.",
            _NOTATION,
        ),
        "D": RuleText(
            "Docstring that says nothing", "An empty docstring documents nothing.", "Write the docstring or remove it."
        ),
        "DTZ": RuleText(
            "Date or time without a time zone",
            "A value without a time zone means something else on a machine with another setting.",
            "Pass a time zone, such as `datetime.UTC`.",
        ),
        "E7": RuleText(
            "Statement in a form that is easily misread",
            "The statement is legal, but its form hides what happens: for example a bare `except` or a comparison with "
            "`None` by equality.",
            _NOTATION,
        ),
        "E9": RuleText(
            "File that cannot be read",
            "The file could not be opened or decoded, so nothing in it was checked.",
            "Make the file readable, or correct its encoding.",
        ),
        "EXE": RuleText(
            "Shebang that does not agree with the file's mode",
            "A script without the executable bit, or with a shebang that is not at its beginning, cannot be started.",
            "Change the file's mode, or correct or remove the first line.",
        ),
        "F4": RuleText(
            "Import that is unused, shadowed or in the wrong place",
            "An unused import costs time at start, and hides what a module really depends on.",
            "Remove the import, or list the name in `__all__` if it is meant for others.",
        ),
        "F5": RuleText(
            "Format string that does not fit its arguments",
            "The format names arguments that are missing, or leaves out some that are given: it fails at run time or "
            "prints something else than was meant.",
            "Make placeholders and arguments agree.",
        ),
        "F6": RuleText(
            "Expression that cannot mean what it says",
            "For example a key that occurs twice in a dictionary, an assertion of a tuple, which is always true, or "
            "an identity comparison with a literal.",
            "Rewrite the expression; the message says what is wrong.",
        ),
        "F7": RuleText(
            "Statement outside the block that it belongs to",
            "A `return`, `yield`, `break` or `continue` outside its function or loop makes the file invalid.",
            "Move the statement into the block, or remove it.",
        ),
        "F81": RuleText(
            "Definition that replaces an unused one",
            "The earlier definition of this name is never used, so one of them is probably a mistake.",
            "Remove or rename one of the definitions.",
        ),
        "F82": RuleText(
            "Name that is not defined",
            "Using the name raises `NameError` or `UnboundLocalError` at run time.",
            "Define or import the name, or correct its spelling.",
        ),
        "F84": RuleText(
            "Local variable that is never used",
            "A value that is assigned and never read is a left-over, or a sign of a wrong name elsewhere.",
            "Remove the assignment, or use the value.",
        ),
        "F9": RuleText(
            "`NotImplemented` raised as an exception",
            "`NotImplemented` is a value for operators and no exception: raising it fails with `TypeError`.",
            "Raise `NotImplementedError`.",
        ),
        "FA": RuleText(
            "Annotation that needs a newer Python",
            "Without the import from `__future__`, the annotation is evaluated, which older versions cannot do.",
            "Add `from __future__ import annotations`, or use the older notation.",
        ),
        "FLY": RuleText("Join of fixed strings", "The result is known; an f-string is shorter and faster.", _NOTATION),
        "FURB": RuleText(
            "Code for which the standard library has something shorter",
            "A function or method of the standard library does the same, more clearly.",
            _NOTATION,
        ),
        "G": RuleText(
            "Logging call that loses something",
            "The call fails, or logs less than it could: for example a key that collides with the record's own.",
            "Use the arguments that `logging` offers for this.",
        ),
        "I": RuleText(
            "Imports that are not sorted",
            "Sorted imports make differences between versions small and duplicates visible.",
            "Let `ruff check --select I --fix` sort them.",
        ),
        "INT": RuleText(
            "Translated text that is formatted too early",
            "The text is formatted before it is looked up, so no translation of it is ever found.",
            "Format the result of the look-up instead.",
        ),
        "ISC": RuleText(
            "Strings that are joined by a missing comma",
            "Two strings beside each other in a collection become one. That is often a forgotten comma.",
            "Add the comma, or put the joined strings into parentheses.",
        ),
        "LOG": RuleText(
            "Misuse of the logging module",
            "The call bypasses the hierarchy of loggers, or uses something that is undocumented or has no effect.",
            "Get the logger by `logging.getLogger(__name__)` and use its documented methods.",
        ),
        "N": RuleText(
            "Name that cannot be imported as usual",
            "A module whose name is no valid identifier cannot be named in an import statement.",
            "Rename the module with lower-case letters, digits and underscores.",
        ),
        "PERF": RuleText(
            "Loop that does needless work",
            "The loop copies or looks up more than it uses.",
            _NOTATION,
        ),
        "PGH": RuleText(
            "Check that can never fail",
            "An attribute of a mock is true whatever happens, so the assertion tests nothing.",
            "Call one of the mock's assertion methods.",
        ),
        "PIE": RuleText(
            "Code without an effect, or written in a roundabout way",
            "A part of the expression or class body can be left out, or repeats another part.",
            _NOTATION,
        ),
        "PLC": RuleText(
            "Construct that breaks a convention and misleads",
            "The name or the form promises something that the code does not do.",
            _NOTATION,
        ),
        "PLE": RuleText(
            "Code that fails when it runs",
            "Python accepts the statement, but executing it raises an exception or returns what the caller refuses.",
            "Correct the statement; the message says what is not allowed.",
        ),
        "PLR": RuleText(
            "Code that can be simpler",
            "A comparison, loop or look-up says more than is needed, or always has the same result.",
            _NOTATION,
        ),
        "PLW": RuleText(
            "Code that is probably a mistake",
            "The statement has no effect, or another effect than it seems to have.",
            "Check what was meant; the message names the statement.",
        ),
        "PT": RuleText(
            "Test that does not check what it seems to",
            "The use of pytest is deprecated, without effect, or accepts too much.",
            _NOTATION,
        ),
        "PTH": RuleText(
            "Path handled by an outdated or wrong call", "The call is deprecated or always fails.", _NOTATION
        ),
        "PYI": RuleText(
            "Type annotation that is wrong or can be simpler",
            "A type checker reads the annotation in another way than a reader, or part of it is redundant.",
            _NOTATION,
        ),
        "RET": RuleText("Return statement that says too much", "The returned value is the default.", _NOTATION),
        "RUF": RuleText(
            "Code that ruff's own rules advise against",
            "The construct is a frequent source of errors or needless work, such as a mutable default of a class.",
            _NOTATION,
        ),
        "S": RuleText(
            "Construct with a risk for security",
            "The code executes text, or hides exceptions and with them a sign of an attack.",
            "Replace the construct, or catch only the exceptions that are expected.",
        ),
        "SIM": RuleText(
            "Condition or block that can be simpler",
            "The same can be said with fewer branches, which are then easier to test.",
            _NOTATION,
        ),
        "T10": RuleText(
            "Debugger left in the code",
            "The call stops the program and waits for input.",
            "Remove the call and its import.",
        ),
        "TC": RuleText(
            "Import for type checking that is wrong",
            "A name that is needed at run time is imported only for type checkers, or the block is empty.",
            _NOTATION,
        ),
        "TRY": RuleText(
            "Exception handling that loses information",
            "The handler hides where an exception came from, or does nothing with it.",
            _NOTATION,
        ),
        "UP": RuleText(
            "Notation of an older Python",
            "Newer versions of Python have a shorter form, or no longer need this one.",
            _NOTATION,
        ),
        "W": RuleText(
            "Escape sequence that Python does not know",
            "A backslash before this character is kept today, and becomes an error in a later version.",
            "Use a raw string, or double the backslash.",
        ),
        "YTT": RuleText(
            "Comparison of Python versions that goes wrong",
            "Comparing the text or a single part of the version fails from version 3.10 or 4 on.",
            "Compare `sys.version_info` with a tuple.",
        ),
    },
)
