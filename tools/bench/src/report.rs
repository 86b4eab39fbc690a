//! The results, and how they compare. As JSON they are as they stand here, with
//! every single run.

use serde::{Deserialize, Serialize};

use crate::{
    machine::MachineReport,
    statistics::{median, range},
};

/// All that one call of this program found out.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: MachineReport,
    pub(crate) sections: Vec<Section>,
}

/// One comparison.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// What was done and what is timed.
    pub(crate) about: String,
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) runs: Vec<RunTimes>,
    /// What a reader must know before believing the figures.
    pub(crate) notes: Vec<String>,
}

/// One program, run again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunTimes {
    pub(crate) name: String,
    /// The data that it went through, without holes; 0 where the time is not for going through it.
    pub(crate) bytes: u64,
    /// The most memory that it may take, where there is such a goal, in bytes.
    pub(crate) memory_limit: Option<u64>,
    /// The most time that it may take, where there is such a goal, in seconds.
    pub(crate) seconds_limit: Option<f64>,
    /// In the order of the rounds; never empty.
    pub(crate) samples: Vec<Sample>,
}

/// One run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// From start to end.
    pub(crate) seconds: f64,
    /// Of all threads, in user mode and in the kernel.
    pub(crate) cpu_seconds: f64,
    /// The most memory it had at a time, with what it maps of files.
    pub(crate) peak_memory: u64,
    /// Bytes that came from a disk and not from the page cache.
    pub(crate) disk_read: u64,
}

impl Sample {
    /// What one after the other takes.
    pub(crate) fn then(self, next: Self) -> Self {
        Self {
            seconds: self.seconds + next.seconds,
            cpu_seconds: self.cpu_seconds + next.cpu_seconds,
            peak_memory: self.peak_memory.max(next.peak_memory),
            disk_read: self.disk_read + next.disk_read,
        }
    }
}

impl RunTimes {
    /// The median of the seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.middle(|sample| sample.seconds)
    }

    /// The median of the processor's seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.middle(|sample| sample.cpu_seconds)
    }

    /// The median of the bytes from the disk.
    pub(crate) fn disk_read(&self) -> f64 {
        self.middle(|sample| sample.disk_read as f64)
    }

    /// The least and the most seconds.
    pub(crate) fn seconds_range(&self) -> (f64, f64) {
        let seconds = self.samples.iter().map(|sample| sample.seconds);
        range(seconds).unwrap_or((f64::NAN, f64::NAN))
    }

    /// The most that any run took.
    pub(crate) fn peak_memory(&self) -> u64 {
        let peaks = self.samples.iter().map(|sample| sample.peak_memory);
        peaks.max().unwrap_or(0)
    }

    fn middle(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(value)).unwrap_or(f64::NAN)
    }
}

/// What is divided by what, and what it should come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Measure {
    /// The other's time by ours: more is better, and this much is the goal.
    Faster(Option<f64>),
    /// Our time by the other's: less is better, and this much is the goal.
    Cost(Option<f64>),
    /// As `Cost`, for each byte of data.
    CostPerByte(Option<f64>),
}

/// Two programs compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) ours: String,
    pub(crate) other: String,
    pub(crate) measure: Measure,
    /// Medians.
    pub(crate) our_seconds: f64,
    pub(crate) other_seconds: f64,
    /// Of the medians.
    pub(crate) ratio: f64,
    /// The least and the greatest ratio within one round.
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// Whether the goal is met, where there is one.
    pub(crate) met: Option<bool>,
}

impl Ratio {
    /// Compares runs that were made in turns.
    pub(crate) fn new(ours: &RunTimes, other: &RunTimes, measure: Measure) -> Self {
        let divide = |our_seconds: f64, other_seconds: f64| match measure {
            Measure::Faster(_) => other_seconds / our_seconds,
            Measure::Cost(_) => our_seconds / other_seconds,
            Measure::CostPerByte(_) => {
                our_seconds / other_seconds * (other.bytes as f64 / ours.bytes as f64)
            }
        };
        let rounds = ours.samples.iter().zip(&other.samples);
        let ratios = rounds.map(|(ours, other)| divide(ours.seconds, other.seconds));
        let (least, most) = range(ratios).unwrap_or((f64::NAN, f64::NAN));
        let (our_seconds, other_seconds) = (ours.seconds(), other.seconds());
        let ratio = divide(our_seconds, other_seconds);
        let met = match measure {
            Measure::Faster(goal) => goal.map(|goal| ratio >= goal),
            Measure::Cost(goal) | Measure::CostPerByte(goal) => goal.map(|goal| ratio <= goal),
        };
        Self {
            ours: ours.name.clone(),
            other: other.name.clone(),
            measure,
            our_seconds,
            other_seconds,
            ratio,
            least,
            most,
            met,
        }
    }
}

impl Section {
    /// A section without ratios and notes.
    pub(crate) fn new(title: &str, about: &str, runs: Vec<RunTimes>) -> Self {
        Self {
            title: title.into(),
            about: about.into(),
            ratios: Vec::new(),
            runs,
            notes: Vec::new(),
        }
    }

    /// Compares two of the runs by their place in the list.
    pub(crate) fn compare(mut self, ours: usize, other: usize, measure: Measure) -> Self {
        let ratio = Ratio::new(&self.runs[ours], &self.runs[other], measure);
        self.ratios.push(ratio);
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn runs(name: &str, bytes: u64, seconds: &[f64]) -> RunTimes {
        let sample = |seconds: &f64| Sample {
            seconds: *seconds,
            cpu_seconds: 2.0 * seconds,
            peak_memory: 5 << 20,
            disk_read: 0,
        };
        RunTimes {
            name: name.into(),
            bytes,
            memory_limit: None,
            seconds_limit: None,
            samples: seconds.iter().map(sample).collect(),
        }
    }

    #[test]
    fn ratios_are_of_medians_and_spreads_of_rounds() {
        let ours = runs("ours", 1 << 30, &[1.0, 2.0, 4.0]);
        let other = runs("other", 2 << 30, &[8.0, 6.0, 12.0]);
        let ratio = Ratio::new(&ours, &other, Measure::Faster(Some(4.0)));
        assert_eq!((ratio.ratio, ratio.least, ratio.most), (4.0, 3.0, 8.0));
        assert_eq!(ratio.met, Some(true));
        let ratio = Ratio::new(&ours, &other, Measure::Faster(Some(4.1)));
        assert_eq!(ratio.met, Some(false));
        let ratio = Ratio::new(&ours, &other, Measure::Cost(Some(0.25)));
        assert_eq!((ratio.ratio, ratio.met), (0.25, Some(true)));
        let ratio = Ratio::new(&ours, &other, Measure::CostPerByte(Some(0.4)));
        assert_eq!((ratio.ratio, ratio.met), (0.5, Some(false)));
        let ratio = Ratio::new(&ours, &other, Measure::Cost(None));
        assert_eq!(ratio.met, None);
    }

    #[test]
    fn one_after_the_other() {
        let first = Sample {
            seconds: 1.0,
            cpu_seconds: 2.0,
            peak_memory: 30,
            disk_read: 4,
        };
        let second = Sample {
            peak_memory: 20,
            ..first
        };
        let both = Sample {
            seconds: 2.0,
            cpu_seconds: 4.0,
            peak_memory: 30,
            disk_read: 8,
        };
        assert_eq!(first.then(second), both);
    }
}
