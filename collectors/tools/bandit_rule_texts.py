"""Texts about bandit's tests, one for each test or group of tests whose identifiers begin alike."""

from domain.metrics.rule_texts import FindingRules, RuleText

_XML = RuleText(
    "XML parsed without limits on its entities",
    "A hostile document can make the parser use all memory, or read files and addresses of its author's choice.",
    "Parse with `defusedxml`, or make sure that only trusted documents arrive here.",
)
_SHELL = RuleText(
    "Command run by a shell",
    "If a part of the command comes from outside, its author can run any program.",
    "Pass a list of arguments and no `shell=True`; quote with `shlex.quote` where a shell is needed.",
)
_PROCESS = RuleText(
    "Program started from Python",
    "Arguments or a search path from outside decide what is run and how.",
    "Check where each argument comes from, and name the program by its full path.",
)
_PICKLE = RuleText(
    "Data loaded in a format that can run code",
    "Whoever can change the data can run any code when it is loaded.",
    "Use a format without code, such as JSON, or check a signature of the data first.",
)
_CIPHER = RuleText(
    "Weak cryptography",
    "The algorithm, mode or key length can be broken with today's means.",
    "Use a current algorithm, such as AES in GCM mode, SHA-256, or RSA from 2048 bits on.",
)
_TLS = RuleText(
    "Connection whose encryption or peer is not checked",
    "Somebody between the two ends can read and change what is sent.",
    "Verify certificates and host keys, and let the library choose the version of the protocol.",
)
_PASSWORD = RuleText(
    "Password written in the code",
    "Everyone who can read the code or its history knows the password, and changing it needs a release.",
    "Read the secret from the environment or a secret store. If it was a real one, replace it.",
)
_CLEAR_TEXT = RuleText(
    "Protocol without encryption",
    "Passwords and data travel in clear text.",
    "Use SSH, SFTP or HTTPS instead.",
)
_MARKUP = RuleText(
    "Text put into a page without escaping",
    "If the text comes from outside, its author can run scripts in the browsers of others.",
    "Escape the text, or switch on the automatic escaping of the template library.",
)
_SQL = RuleText(
    "SQL put together from strings",
    "If a part comes from outside, its author can read and change the whole database.",
    "Pass the values as parameters of the statement.",
)
_PERMISSIONS = RuleText(
    "File with a predictable name or open permissions",
    "Other users of the machine can read it, or put a file of their own in its place.",
    "Use the module `tempfile`, and give only the rights that are needed.",
)
_SWALLOWED = RuleText(
    "Exception that is ignored",
    "An error, or the sign of an attack, passes unnoticed.",
    "Catch only what is expected, and log it.",
)
_DEBUG = RuleText(
    "Debug mode or listener that runs code",
    "Whoever reaches it can run code in the program.",
    "Switch it off outside development, or bind it to the local machine.",
)
_ARCHIVE = RuleText(
    "Archive unpacked without checking its members",
    "A member with a path such as `../x` is written outside the directory.",
    'Pass `filter="data"`, or check each member\'s path first.',
)
_MODEL = RuleText(
    "Model loaded from a source that can change or run code",
    "The file may contain code, or another file may be served under the same name tomorrow.",
    "Load weights only, and pin the revision that is downloaded.",
)

RULES = FindingRules(
    security=True,
    default=RuleText(
        "Construct with a risk for security",
        "bandit knows this construct from real weaknesses. Whether it is one here depends on where its data come from.",
        "Follow the data that reach this line. If it is safe, say why in a comment beside `# nosec` and the test's id.",
    ),
    texts={
        "B101": RuleText(
            "Assertion used as a check",
            "With `python -O` assertions are not executed, so a check of input disappears.",
            "Raise an exception instead. In tests an assertion is right.",
        ),
        "B102": RuleText(
            "Text executed as code",
            "If the text comes from outside, its author can run any code.",
            "Do without `exec`, or choose among known functions.",
        ),
        "B103": _PERMISSIONS,
        "B104": RuleText(
            "Service bound to all network interfaces",
            "The service can be reached from every network that the machine is part of.",
            "Bind to the address that is meant, such as 127.0.0.1.",
        ),
        "B105": _PASSWORD,
        "B106": _PASSWORD,
        "B107": _PASSWORD,
        "B108": _PERMISSIONS,
        "B110": _SWALLOWED,
        "B112": _SWALLOWED,
        "B113": RuleText(
            "Request without a time limit",
            "A server that does not answer keeps the program waiting for ever.",
            "Pass `timeout` in seconds.",
        ),
        "B201": _DEBUG,
        "B202": _ARCHIVE,
        "B301": _PICKLE,
        "B302": _PICKLE,
        "B303": _CIPHER,
        "B304": _CIPHER,
        "B305": _CIPHER,
        "B306": _PERMISSIONS,
        "B307": RuleText(
            "Text evaluated as code",
            "If the text comes from outside, its author can run any code.",
            "Use `ast.literal_eval` for literals, or a parser for the language that is meant.",
        ),
        "B308": _MARKUP,
        "B310": RuleText(
            "URL opened whatever its scheme",
            "`file:` and other schemes can read what was not meant to be read.",
            "Check that the URL begins with `https://`.",
        ),
        "B311": RuleText(
            "Random numbers that can be predicted",
            "The generator's later numbers follow from earlier ones, so they are no secret.",
            "Use the module `secrets` for tokens, keys and passwords.",
        ),
        "B312": _CLEAR_TEXT,
        "B31": _XML,
        "B321": _CLEAR_TEXT,
        "B323": _TLS,
        "B324": _CIPHER,
        "B401": _CLEAR_TEXT,
        "B402": _CLEAR_TEXT,
        "B403": _PICKLE,
        "B404": _PROCESS,
        "B40": _XML,
        "B411": _XML,
        "B413": _CIPHER,
        "B415": _CLEAR_TEXT,
        "B50": _TLS,
        "B505": _CIPHER,
        "B506": _PICKLE,
        "B508": _CLEAR_TEXT,
        "B509": _CIPHER,
        "B601": _SHELL,
        "B602": _SHELL,
        "B603": _PROCESS,
        "B604": _SHELL,
        "B605": _SHELL,
        "B606": _PROCESS,
        "B607": _PROCESS,
        "B608": _SQL,
        "B609": _SHELL,
        "B610": _SQL,
        "B611": _SQL,
        "B612": _DEBUG,
        "B613": RuleText(
            "Invisible characters that change how code is read",
            "Characters that control the direction of text make a reader see other code than Python runs.",
            "Remove them, or write them as escapes.",
        ),
        "B614": _MODEL,
        "B615": _MODEL,
        "B70": _MARKUP,
    },
)
