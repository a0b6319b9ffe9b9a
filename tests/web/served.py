"""The page as a command of its own, with the models of `tests.web.fakes`: python -m tests.web.served"""

from btlib.command import command
from btlib.web.server import answer_with
from tests.web import fakes

if __name__ == "__main__":
    with command("served"):
        answer_with(fakes.load_harmed, 0)
