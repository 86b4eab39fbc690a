//! The time that everything bears, so that one commit gives one package, whenever it is made.

use std::env;

use anyhow::{Context, Result};
use time::{
    OffsetDateTime,
    format_description::well_known::{Rfc2822, Rfc3339},
};

use crate::{child::text, source::git};

/// The variable that says the time, in seconds since 1970.
pub(crate) const VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// A time in UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Date(OffsetDateTime);

impl Date {
    /// SOURCE_DATE_EPOCH, or else the time of the last commit.
    pub(crate) fn of_the_sources() -> Result<Self> {
        match variable() {
            Some(seconds) => Self::parse(&seconds),
            None => Self::of_the_last_commit(),
        }
    }

    /// SOURCE_DATE_EPOCH, or else 1970.
    pub(crate) fn or_1970() -> Result<Self> {
        Self::parse(&variable().unwrap_or_else(|| "0".into()))
    }

    fn of_the_last_commit() -> Result<Self> {
        let seconds = text(git()?.args(["log", "-1", "--format=%ct"]))
            .with_context(|| format!("this is no git repository: set {VARIABLE}"))?;
        Self::parse(seconds.trim())
    }

    fn parse(seconds: &str) -> Result<Self> {
        let wrong = || format!("{VARIABLE} is no time: {seconds}");
        let seconds = seconds.parse().with_context(wrong)?;
        let time = OffsetDateTime::from_unix_timestamp(seconds).with_context(wrong)?;
        Ok(Self(time))
    }

    /// In seconds since 1970.
    pub(crate) fn epoch(self) -> String {
        self.0.unix_timestamp().to_string()
    }

    /// As in `2026-01-31`.
    pub(crate) fn day(self) -> String {
        self.0.date().to_string()
    }

    /// As in a mail: `Sat, 31 Jan 2026 01:02:03 +0000`.
    pub(crate) fn of_mail(self) -> Result<String> {
        Ok(self.0.format(&Rfc2822)?)
    }

    /// As in `2026-01-31T01:02:03Z`.
    pub(crate) fn iso(self) -> Result<String> {
        Ok(self.0.format(&Rfc3339)?)
    }
}

/// SOURCE_DATE_EPOCH, if it says anything.
fn variable() -> Option<String> {
    env::var(VARIABLE).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_each_format() {
        let date = Date::parse("1767319384").unwrap();
        assert_eq!(date.epoch(), "1767319384");
        assert_eq!(date.day(), "2026-01-02");
        assert_eq!(date.of_mail().unwrap(), "Fri, 02 Jan 2026 02:03:04 +0000");
        assert_eq!(date.iso().unwrap(), "2026-01-02T02:03:04Z");
    }

    #[test]
    fn what_is_no_time() {
        for seconds in ["", "today", "1.5", "99999999999999999"] {
            assert!(Date::parse(seconds).is_err(), "{seconds}");
        }
    }
}
