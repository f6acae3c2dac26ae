"""The command line: ``daf check PATH…``."""

from __future__ import annotations

import argparse
import io
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from daf_orm.static import files, settings
from daf_orm.static.cache import FOLDER, Cache
from daf_orm.static.check import check
from daf_orm.static.output.formats import FORMATS, SOURCE, Report
from daf_orm.static.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daf_orm.static.findings import Finding
    from daf_orm.static.project.modules import Module
    from daf_orm.static.registry.facts import Registry

CLEAN: Final = 0
FOUND: Final = 1
FAILED: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if nothing was found, 1 if something was, 2 if it could not be run."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # its encoding may lack arrows
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _run(options)
    except SettingsError as error:
        print(f"daf check: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
    except BrokenPipeError:  # `daf check | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it again at exit
        return FAILED


def _run(options: argparse.Namespace) -> int:
    configured = _settings(options)
    paths = [Path(path) for path in options.paths]
    for path in paths:
        if not path.exists():
            raise SettingsError(f"{path} does not exist.")
    registry = _registry(paths, configured)
    if options.fix or options.diff:
        count, text = _fixing()(paths, configured, registry, is_unsafe=options.unsafe_fixes, is_dry=options.diff)
        if options.diff:
            sys.stdout.write(text)
            return FOUND if count else CLEAN
    modules = files.modules(paths, configured.exclude)
    findings = _findings(modules, configured, registry, use_cache=not options.no_cache)
    return _report(Report(findings, str(registry or SOURCE)), configured, options)


def _registry(paths: Sequence[Path], configured: Settings) -> Registry | None:
    if not configured.django:
        return None
    from daf_orm.static.registry.loading import load  # noqa: PLC0415 - imports Django and the project

    return load(paths, configured.settings)


def _fixing() -> Callable[..., tuple[int, str]]:
    try:
        from daf_orm.static.fixes.fixing import fix  # noqa: PLC0415 - needs LibCST, which is optional and slow to import
    except ModuleNotFoundError as error:
        raise SettingsError('Fixes need LibCST: pip install "django-daf[static]".') from error
    return fix


def _report(report: Report, configured: Settings, options: argparse.Namespace) -> int:
    findings = report.findings
    if options.write_baseline and configured.baseline is None:
        raise SettingsError("--write-baseline needs --baseline FILE, or baseline in pyproject.toml.")
    if configured.baseline is not None:
        from daf_orm.static import known  # noqa: PLC0415 - the guard's own baseline, and with it Django

        if options.write_baseline:
            count = known.write(configured.baseline, findings)
            print(f"{configured.baseline} has {count} blocking calls.", file=sys.stderr)  # noqa: T201
            return CLEAN
        findings = known.unknown(configured.baseline, findings)
    text = FORMATS[options.output_format](Report(findings, report.models))
    if text:
        print(text)  # noqa: T201
    return FOUND if findings and not options.exit_zero else CLEAN


def _findings(
    modules: list[Module], configured: Settings, registry: Registry | None, *, use_cache: bool
) -> list[Finding]:
    if not use_cache:
        return check(modules, configured, registry)
    cache = Cache(modules, configured, Path(FOLDER), registry)
    findings = cache.get()
    if findings is None:
        findings = check(modules, configured, registry)
        cache.put(findings)
    return findings


def _settings(options: argparse.Namespace) -> Settings:
    configured = settings.load(Path.cwd())
    given: dict[str, Any] = {
        name: tuple(options.__dict__[name]) for name in ("select", "ignore") if options.__dict__[name]
    }
    for codes in given.values():
        settings.check_codes(codes)
    return replace(
        configured,
        **given,
        exclude=(*configured.exclude, *options.exclude),
        strict=configured.strict or options.strict,
        baseline=options.baseline or configured.baseline,
        django=(configured.django or bool(options.settings)) if options.django is None else options.django,
        settings=options.settings or configured.settings,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="daf", description="Tools for Django projects that run on an event loop.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("check", help="find blocking calls in source, without running it")
    command.add_argument("paths", nargs="*", default=["."], metavar="PATH", help="files and folders (default: .)")
    command.add_argument("--strict", action="store_true", help="also report what may have been loaded elsewhere")
    command.add_argument(
        "--django",
        action=argparse.BooleanOptionalAction,
        help="take models, relations and managers from Django's app registry: imports the project",
    )
    command.add_argument("--settings", metavar="MODULE", help="the settings module for --django, which it implies")
    command.add_argument("--select", type=_codes, default=[], metavar="CODES", help="report these codes, or prefixes")
    command.add_argument("--ignore", type=_codes, default=[], metavar="CODES", help="do not report these")
    command.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="leave these files out")
    command.add_argument("--fix", action="store_true", help="rewrite what can be rewritten safely")
    command.add_argument("--unsafe-fixes", action="store_true", help="with --fix or --diff: rewrite the rest, too")
    command.add_argument("--diff", action="store_true", help="show what --fix would rewrite, and write nothing")
    command.add_argument("--output-format", choices=sorted(FORMATS), default="text")
    command.add_argument("--baseline", metavar="FILE", help="leave out what is in this file; pytest's is the same")
    command.add_argument("--write-baseline", action="store_true", help="write the findings to the baseline")
    command.add_argument("--no-cache", action="store_true", help=f"neither read nor write {FOLDER}")
    command.add_argument("--exit-zero", action="store_true", help="exit 0 even if something was found")
    return parser


def _codes(text: str) -> list[str]:
    return [code.strip() for code in text.split(",") if code.strip()]
