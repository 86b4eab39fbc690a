//! How often something is tried, and how long is waited in between. No I/O.

use std::time::Duration;

/// The first pause; each of the next is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(500);

/// No pause is longer, unless a server asks for it.
const LONGEST: Duration = Duration::from_secs(30);

/// What a server may ask for at most.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// How many pauses there are before it is given up that somebody is there at all.
const AT_FIRST: u32 = 3;

/// The same once somebody has been there: the pauses together are some two and a half minutes.
const AFTERWARDS: u32 = 10;

/// Tries that have failed since something came of one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retries {
    failed: u32,
}

impl Retries {
    /// Something came of it.
    pub(super) fn progress(&mut self) {
        self.failed = 0;
    }

    /// Whether nothing has come of the last one.
    pub(super) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// One more has failed: how long to wait before the next. None where there is to be no next.
    /// `reached` says whether the server has ever answered, `asked` what it asked for.
    pub(super) fn pause(&mut self, reached: bool, asked: Option<Duration>) -> Option<Duration> {
        let most = if reached { AFTERWARDS } else { AT_FIRST };
        if self.failed >= most {
            return None;
        }
        let doubled = FIRST.saturating_mul(2u32.saturating_pow(self.failed));
        self.failed += 1;
        let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
        Some(doubled.min(LONGEST).max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pauses until it is given up.
    fn pauses(reached: bool) -> Vec<Duration> {
        let mut retries = Retries::default();
        std::iter::from_fn(|| retries.pause(reached, None)).collect()
    }

    #[test]
    fn a_minute_without_a_network_is_survived() {
        let pauses = pauses(true);
        assert!(pauses.is_sorted());
        let all: Duration = pauses.iter().sum();
        // The longest of them may begin just before the network is back.
        assert!(all - LONGEST > Duration::from_secs(60), "{all:?}");
        assert!(all < Duration::from_secs(180), "{all:?}");
    }

    #[test]
    fn a_name_that_is_wrong_is_told_soon() {
        let all: Duration = pauses(false).iter().sum();
        assert!(all < Duration::from_secs(5), "{all:?}");
    }

    #[test]
    fn progress_begins_anew() {
        let mut retries = Retries::default();
        let first = retries.pause(true, None);
        while retries.pause(true, None).is_some() {}
        retries.progress();
        assert_eq!(retries.pause(true, None), first);
    }

    #[test]
    fn a_server_may_ask_for_more_time() {
        let second = Duration::from_secs(1);
        for (asked, expected) in [(0, FIRST), (7, 7 * second), (100_000, LONGEST_ASKED)] {
            let pause = Retries::default().pause(true, Some(asked * second));
            assert_eq!(pause, Some(expected));
        }
    }
}
