"""Groups of verbs of which one needs no name: `masi blind STUDY` beside `masi blind check SET`."""

from __future__ import annotations

from typing import Any, ClassVar

from typer.core import TyperGroup


def unless_named(verb: str) -> type[TyperGroup]:
    """A group that takes ``verb`` where the first word is no verb of it."""

    class Group(TyperGroup):
        """What is not the name of a verb is its first argument."""

        default: ClassVar[str] = verb

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Put the verb before what is none."""
            if args and args[0] not in ("-h", "--help") and args[0] not in self.commands:
                args = [self.default, *args]
            return super().parse_args(ctx, args)

    return Group
