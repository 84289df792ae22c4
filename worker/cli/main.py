"""The entry point of the command `vibe8`.

`vibe8 analyze` waits until its zygote has imported the tools. So the zygote is started first, before this process
imports anything that is slow itself. Its usual command lines are read here, because importing the library for command
lines, and describing all commands to it, takes a tenth of the time of a small analysis.
"""

import gc
import os
import sys
from collections.abc import Sequence

from domain.errors import Vibe8Error
from worker.cli.early_zygote import early_zygote
from worker.cli.exit_codes import BAD_INPUT, DONE, INTERRUPTED, exit_code
from worker.cli.output.errors import discard_output, prepare_standard_streams, print_error, unwritable

_ANALYZE = "analyze"
_FLAGS = frozenset({"--json", "--no-cache", "--offline"})


def main() -> None:
    """Run the command line, and exit with its exit code.

    Neither Ctrl-C, also at its start, nor output that cannot be written ends it in a traceback.
    """
    prepare_standard_streams()
    try:
        code = _main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print_error("interrupted")
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of the output has closed it
        discard_output()
        code = DONE
    except OSError as error:
        message = unwritable(error)
        discard_output()
        print_error(message)
        code = BAD_INPUT
    sys.exit(code)


def _main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] != [_ANALYZE] or {"--help", "-h"} & set(arguments):
        return _run_any()
    gc.disable()  # the process ends with this analysis, so collecting garbage would only cost time
    early_zygote.start()
    try:
        code = _run_analysis(arguments[1:]) if _is_plain(arguments[1:]) else _run_any()
    finally:
        early_zygote.kill()
    _exit_at_once(code)
    return code


def _run_any() -> int:
    from worker.cli.app import run

    return run()


def _is_plain(arguments: Sequence[str]) -> bool:
    """Return whether the arguments of `analyze` are a source and flags only; anything else takes the full parser."""
    return len([argument for argument in arguments if argument not in _FLAGS]) == 1 and not any(
        argument.startswith("-") for argument in arguments if argument not in _FLAGS
    )


def _run_analysis(arguments: Sequence[str]) -> int:
    """Run `analyze` and return its exit code. Errors become one line on standard error, as in `worker.cli.app.run`."""
    from worker.cli.commands.analyze import run_analysis

    source = next(argument for argument in arguments if argument not in _FLAGS)
    try:
        return run_analysis(
            source,
            None,
            as_json="--json" in arguments,
            use_cache="--no-cache" not in arguments,
            offline="--offline" in arguments,
        )
    except Vibe8Error as error:
        print_error(str(error))
        return exit_code(error)
    except KeyboardInterrupt:
        print_error("interrupted")
        return INTERRUPTED


def _exit_at_once(code: int) -> None:
    """Exit without freeing the objects of a large result one by one. Raises OSError: the output cannot be written."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except ValueError:  # the stream is closed
        return
    os._exit(code)
