"""Look at this machine: what works, what does not, and what to do about it."""

from typing import Annotated

import typer


def doctor(json: Annotated[bool, typer.Option("--json", help="One JSON list instead of lines.")] = False) -> None:
    from dataclasses import asdict

    import orjson

    from teacherlm.launch.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not json:
            todo = f"\n{'':26}-> {finding.todo}" if finding.todo else ""
            typer.echo(f"{finding.grade:<8} {finding.about:<16} {finding.found}{todo}")
    if json:
        typer.echo(orjson.dumps([asdict(finding) for finding in findings], option=orjson.OPT_INDENT_2).decode())
    raise typer.Exit(1 if any(finding.grade == "problem" for finding in findings) else 0)


COMMAND = doctor
