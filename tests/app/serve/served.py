"""The page as a separate command, with the models of `tests.app.serve.fakes`: python -m tests.app.serve.served"""

from btlib.app.serve.server import answer_with
from btlib.core.runtime.command import command
from tests.app.serve import fakes

if __name__ == "__main__":
    with command("served"):
        answer_with(fakes.load_harmed, 0)
