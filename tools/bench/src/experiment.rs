//! RunTimes in turns, each from the same state.

use std::{cell::RefCell, path::PathBuf, process::Command, time::Instant};

use anyhow::{Context, Result, bail};

use crate::{
    cache,
    child::{self, PrintedTo},
    report::{RunTimes, Sample},
};

type Prepare<'a> = Box<dyn Fn() -> Result<()> + 'a>;
type Finish<'a> = Box<dyn Fn(&str) -> Result<()> + 'a>;

/// What is run in turns with others, and timed.
pub(crate) struct Contestant<'a> {
    pub(crate) name: String,
    /// The data that it goes through, without holes; 0 where the time is not for that.
    pub(crate) bytes: u64,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) seconds_limit: Option<f64>,
    /// One after the other; only they are timed.
    pub(crate) commands: Vec<Command>,
    pub(crate) printed_to: PrintedTo,
    /// What is written to the disk after that. This gives a second list of runs, with
    /// the time that it takes added: for programs that leave it to the kernel.
    pub(crate) then_sync: Vec<PathBuf>,
    /// Makes the state that each run starts from.
    pub(crate) prepare: Prepare<'a>,
    /// Checks what came of it, from what the commands printed, and cleans up.
    pub(crate) finish: Finish<'a>,
}

/// RunTimes each contestant once a round, in an order that turns with every round, so
/// that whatever else the machine does falls on all alike.
///
/// Gives the runs in the order of the contestants, those that are synced right
/// after those that are not.
pub(crate) fn run(contestants: Vec<Contestant<'_>>, rounds: u32) -> Result<Vec<RunTimes>> {
    let mut contestants = contestants;
    let mut samples = vec![(Vec::new(), Vec::new()); contestants.len()];
    for round in 0..rounds {
        for turn in order(contestants.len(), round) {
            let contestant = &mut contestants[turn];
            let name = contestant.name.clone();
            eprintln!("Round {}/{rounds}: {name}", round + 1);
            let (plain, synced) = contestant.once().context(name)?;
            samples[turn].0.push(plain);
            samples[turn].1.push(synced);
        }
    }
    let mut all = Vec::new();
    for (contestant, (plain, synced)) in contestants.into_iter().zip(samples) {
        let runs = RunTimes {
            name: contestant.name,
            bytes: contestant.bytes,
            memory_limit: contestant.memory_limit,
            seconds_limit: contestant.seconds_limit,
            samples: plain,
        };
        let synced = (!contestant.then_sync.is_empty()).then(|| RunTimes {
            name: format!("{}, synced", runs.name),
            samples: synced,
            ..runs.clone()
        });
        all.push(runs);
        all.extend(synced);
    }
    Ok(all)
}

impl Contestant<'_> {
    /// Gives the run without and with syncing.
    fn once(&mut self) -> Result<(Sample, Sample)> {
        (self.prepare)()?;
        let mut sum = Sample::default();
        let mut printed = String::new();
        for command in &mut self.commands {
            let (sample, text) = child::run_to(self.printed_to, command)?;
            sum = sum.then(sample);
            printed += &text;
            printed.push('\n');
        }
        let start = Instant::now();
        cache::sync(&self.then_sync)?;
        let synced = Sample {
            seconds: sum.seconds + start.elapsed().as_secs_f64(),
            ..sum
        };
        (self.finish)(&printed)?;
        Ok((sum, synced))
    }
}

/// Forwards and backwards in turns.
fn order(count: usize, round: u32) -> Vec<usize> {
    if round.is_multiple_of(2) {
        (0..count).collect()
    } else {
        (0..count).rev().collect()
    }
}

/// Something on which all runs must agree, such as a root hash: the time of a wrong
/// result is worth nothing.
#[derive(Default)]
pub(crate) struct Agreement(RefCell<Option<String>>);

impl Agreement {
    /// The first to come says what it is.
    pub(crate) fn check(&self, found: &str) -> Result<()> {
        let mut agreed = self.0.borrow_mut();
        match &*agreed {
            Some(agreed) if agreed != found => {
                bail!("the result is {found}, and not {agreed} as before: one of them is wrong")
            }
            Some(_) => {}
            None => *agreed = Some(found.to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_turns() {
        assert_eq!(order(3, 0), [0, 1, 2]);
        assert_eq!(order(3, 1), [2, 1, 0]);
        assert_eq!(order(3, 2), [0, 1, 2]);
    }

    #[test]
    fn everyone_must_agree() {
        let agreement = Agreement::default();
        agreement.check("a").unwrap();
        agreement.check("a").unwrap();
        assert!(agreement.check("b").is_err());
    }

    fn echo<'a>(word: &str, log: &'a RefCell<Vec<String>>) -> Contestant<'a> {
        let mut command = Command::new("echo");
        command.arg(word);
        Contestant {
            name: word.into(),
            bytes: 1,
            memory_limit: None,
            seconds_limit: None,
            commands: vec![command],
            printed_to: PrintedTo::File,
            then_sync: vec![],
            prepare: Box::new(|| {
                log.borrow_mut().push("prepare".into());
                Ok(())
            }),
            finish: Box::new(|printed| {
                log.borrow_mut().push(printed.trim().into());
                Ok(())
            }),
        }
    }

    #[test]
    fn all_run_in_turns() {
        let log = RefCell::default();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut synced = echo("b", &log);
        synced.then_sync = vec![file.path().to_owned()];
        let runs = run(vec![echo("a", &log), synced], 2).unwrap();
        let names: Vec<_> = runs.iter().map(|runs| runs.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "b, synced"]);
        assert!(runs.iter().all(|runs| runs.samples.len() == 2));
        assert!(runs[2].seconds() > runs[1].seconds());
        let expected = [
            "prepare", "a", "prepare", "b", "prepare", "b", "prepare", "a",
        ];
        assert_eq!(*log.borrow(), expected);
    }

    #[test]
    fn a_wrong_result_ends_it() {
        let log = RefCell::default();
        let mut wrong = echo("a", &log);
        wrong.finish = Box::new(|_| bail!("wrong"));
        let error = run(vec![wrong], 1).unwrap_err();
        assert_eq!(format!("{error:#}"), "a: wrong");
    }
}
