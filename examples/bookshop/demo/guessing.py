"""The part of the smoke run that knocks at the login page too often, and then under many names."""

from __future__ import annotations

from demo.transcript import Transcript, json_of

LIMIT = 20
SPOOFED = 50


async def guessing(say: Transcript) -> None:
    """The desk has used up some of the limit, so that it comes sooner; how many were let through is for the tests."""
    say.section(f"More than {LIMIT} visits to the login page in a minute")
    for _ in range(LIMIT + 1):
        answer = await say.client.get("/login/")
        if answer.status_code != 200:
            break
    say.show(answer, status=429)
    headers = {name: answer.headers.get(name, "") for name in ("RateLimit-Policy", "RateLimit", "Retry-After")}
    for name, value in headers.items():
        say.note(f"{name}: {value}")
    say.expect(headers["RateLimit-Policy"] == f'"{LIMIT}/minute";q={LIMIT};w=60', "the answer names the policy")
    say.expect(0 < int(headers["Retry-After"] or 0) <= 60, "and when to come back")
    say.expect((json_of(answer) or {}).get("code") == "throttled", "and is a problem")

    spoofed = [
        (await say.client.get("/login/", headers={"X-Forwarded-For": f"203.0.113.{number}"})).status_code
        for number in range(SPOOFED)
    ]
    through = spoofed.count(200)  # the limit grows by one every three seconds, for any client
    say.expect(through <= 1 + LIMIT // 10, f"{SPOOFED} made-up addresses do not help: {through} let through")
    report = say.show(await say.client.get("/report/"), status=200)
    say.expect(report.headers.get("RateLimit-Policy") == '"600/minute";q=600;w=60', "the report has its own limit")
