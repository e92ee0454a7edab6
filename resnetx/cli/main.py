"""The `resnetx` program: the one place where errors and signals become messages and exit codes."""

import sys
from collections.abc import Sequence
from typing import Any

from resnetx.cli.output import checked_output, debugging, print_error, print_traceback
from resnetx.cli.signals import interruptible
from resnetx.errors import ResnetxError, UsageError


def __getattr__(name: str) -> Any:
    """`app`, which is imported only when it is used: an interruption while it loads ends without a traceback."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from resnetx.cli.app import app

    return app


def main() -> None:
    """Run the program: 0 is yes, 1 is no, 2 could not run; 128 and the signal's number if it was interrupted."""
    with interruptible() as interruption, checked_output():
        try:
            code = _run(sys.argv[1:])
            sys.stdout.flush()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # a panic of a library written in Rust is no Exception
            code = _failed(error) if not interruption.happened else 0
        # A library may have turned the interruption into an error of its own, and Typer turns it into a status.
        sys.exit(interruption.status if interruption.happened else code)


def _run(arguments: Sequence[str]) -> int:
    from resnetx.cli.app import app

    _refuse_empty(arguments)
    code = app(list(arguments) or ["--help"], prog_name="resnetx", standalone_mode=False)
    return (code if isinstance(code, int) else 0) if arguments else 2


def _refuse_empty(arguments: Sequence[str]) -> None:
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if not argument or (equals and not value and name.startswith("--")):
            before = arguments[index - 1] if index and not argument else name
            raise UsageError(
                f"An argument is empty{f' (at {before})' if before else ''}, as from a variable that is not set; "
                "give it a value or leave it out."
            )


def _failed(error: BaseException) -> int:
    """Explain an error in one paragraph."""
    import typer

    if debugging():
        print_traceback(error)
    if isinstance(error, ResnetxError):
        print_error(error.message, code=error.code)
    elif isinstance(error, BrokenPipeError):
        return 0  # the reader of our output left: `| head`
    elif isinstance(error, typer.BadParameter.__mro__[1]):  # Typer makes public only one of the errors about options
        problem: Any = error
        # pydantic, which checks the values, names the kind of its error.
        what = problem.format_message().replace(": Value error, ", ": ")
        end = "" if what.endswith((".", "?")) else "."
        print_error(f"{what}{end} See {problem.ctx.command_path if problem.ctx else 'resnetx'} --help.")
    elif isinstance(error, typer.Abort):
        print_error("The input ended.")
    else:
        print_error(_unexpected(error))
    return 2


def _unexpected(error: BaseException) -> str:
    match error:
        case MemoryError():
            what = "There is not enough memory"
        case RecursionError():
            what = "Something in the input is nested too deep"
        case OSError() if error.filename is None and error.strerror:
            what = f"The system refused an operation: {error.strerror}"
        case _:
            what = f"An unexpected error occurred: {type(error).__name__}"
    try:
        details = str(error)
    except Exception:  # an error that cannot even be shown
        details = ""
    details = "" if details in what else f" ({details})"
    return (
        f"{what}{details}. Set RESNETX_DEBUG=1 to see where. If the input is sound, report this as a fault of resnetx."
    )


if __name__ == "__main__":
    main()
