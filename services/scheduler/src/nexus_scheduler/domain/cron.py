"""When a cron line is due, in UTC. Five fields, or @hourly, @daily, @weekly, @monthly."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from croniter import CroniterBadDateError, CroniterError, croniter

_NAMES = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|MON|TUE|WED|THU|FRI|SAT|SUN"
# croniter also knows words that are drawn by chance or from a hash (R, H); a schedule must be the same each time.
_FIELD: Final = re.compile(rf"(\d+|\*|{_NAMES})([-/,](\d+|\*|{_NAMES}))*", re.IGNORECASE)
_SHORT: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
_FIELDS: Final = 5
_YEARS_AHEAD: Final = 10
MISSED_MAX: Final = 10_000


class BadCron(ValueError):
    """A cron line that cannot be read, or that never comes."""


def next_after(cron: str, moment: datetime) -> datetime:
    """The first time after a moment; raises BadCron."""
    return _times(cron, moment)[1]


def missed_until(cron: str, due: datetime, now: datetime) -> tuple[int, datetime]:
    """How many times later than `due` have come by `now` (counted to MISSED_MAX), and the next one after it."""
    times, following = _times(cron, due)
    missed = 0
    while following <= now and missed < MISSED_MAX:
        missed += 1
        following = _utc(times.get_next(datetime))
    return missed, following if following > now else next_after(cron, now)


def _times(cron: str, moment: datetime) -> tuple[croniter, datetime]:
    line = _SHORT.get(cron.strip().lower(), cron)
    fields = line.split()
    if len(fields) != _FIELDS or not all(_FIELD.fullmatch(field) for field in fields):
        raise BadCron(f"{cron!r} is no cron line: five fields (minute, hour, day, month, weekday) or @daily")
    try:
        times = croniter(line, moment, ret_type=datetime, max_years_between_matches=_YEARS_AHEAD)
        return times, _utc(times.get_next(datetime))
    except CroniterBadDateError as error:
        raise BadCron(f"{cron!r} never comes") from error
    except (CroniterError, ValueError) as error:
        raise BadCron(f"{cron!r} is no cron line: {error}") from error


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
